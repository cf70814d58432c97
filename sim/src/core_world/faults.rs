//! What breaks between the hosts.

use super::pipe::Path;
use super::tunnel::Tunnel;
use super::world::{AGENT, CoreWorld, SERVER};
use crate::Situation;
use crate::schedule::{Action, Host};

impl<T: Tunnel> CoreWorld<'_, T> {
    /// A fault begins or ends. Between two agents or two servers there is nothing to break here.
    pub(super) fn fault(&mut self, action: &Action) {
        match action {
            Action::Partition { a, b } => {
                self.note_faults(*a, *b, Situation::PartitionDuringTransfer);
                self.change_paths(*a, *b, |path, _| path.lost = [true, true]);
            }
            Action::PartitionOneWay { from, to } => {
                self.note_faults(*from, *to, Situation::PartitionOneWay);
                self.change_paths(*from, *to, |path, side| {
                    if let Some(lost) = path.lost.get_mut(side) {
                        *lost = true;
                    }
                });
            }
            Action::Repair { a, b } => {
                self.change_paths(*a, *b, |path, _| path.lost = [false, false]);
            }
            Action::Hold { a, b } => {
                self.note_faults(*a, *b, Situation::HoldDuringTransfer);
                self.change_paths(*a, *b, |path, _| path.held = true);
            }
            Action::Release { a, b } => self.change_paths(*a, *b, |path, _| path.held = false),
            Action::Latency { a, b, millis } => {
                self.change_paths(*a, *b, |path, _| path.latency = Some(*millis));
            }
            Action::Cut { by: Host::Agent(agent) } => self.cut(usize::from(*agent)),
            _ => {}
        }
    }

    /// Changes the paths between two hosts; which end of them `from` is.
    fn change_paths(&mut self, from: Host, to: Host, change: impl Fn(&mut Path, usize)) {
        for agent in 0..self.agents.len() {
            if let Some(side) = self.side_of(agent, from, to)
                && let Some(host) = self.agents.get_mut(agent)
            {
                change(&mut host.path, side);
                let links = self.links.iter_mut().filter(|link| link.agent == agent);
                links.for_each(|link| (link.due, link.shaken) = (true, true));
            }
        }
    }

    /// Which end of an agent's path the first host is, if the path joins the two.
    fn side_of(&self, agent: usize, from: Host, to: Host) -> Option<usize> {
        let server = super::world::server_host(self.agents.get(agent)?.server);
        let agent = super::world::agent_host(agent);
        if (from, to) == (agent, server) {
            Some(AGENT)
        } else {
            ((from, to) == (server, agent)).then_some(SERVER)
        }
    }

    fn note_faults(&mut self, from: Host, to: Host, during_transfer: Situation) {
        for agent in 0..self.agents.len() {
            if self.side_of(agent, from, to).is_none() {
                continue;
            }
            if self.is_transferring(agent) {
                self.context.note(during_transfer);
            }
            let partition = during_transfer != Situation::HoldDuringTransfer;
            if partition && self.is_dialling(agent) {
                self.context.note(Situation::PartitionWhileDialling);
            }
        }
    }

    fn cut(&mut self, agent: usize) {
        let now = self.context.now;
        let directions = [self.direction(agent, AGENT), self.direction(agent, SERVER)];
        let mut inside = false;
        let mut any = false;
        for link in self.links.iter_mut().filter(|link| link.agent == agent) {
            (link.due, link.shaken) = (true, true);
            for (pipe, direction) in link.pipes.iter_mut().zip(directions) {
                inside |= pipe.cut(now, direction);
                any = true;
            }
        }
        self.context.seen.note_if(inside, Situation::CutInsideMessage);
        if any && self.is_dialling(agent) {
            self.context.note(Situation::CutWhileDialling);
        }
        if any && self.is_transferring(agent) {
            self.context.note(Situation::CutDuringTransfer);
        }
    }
}
