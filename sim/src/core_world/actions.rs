//! What the steps of a schedule do.

use watertight_core::wire::GoAwayCode;

use super::dial::Dial;
use super::stream::Role;
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, SERVER, State, World};
use crate::schedule::{Action, AgentKind, Host, StreamId, millis};
use crate::{DialOutcome, Player, Situation};

impl<T: Tunnel> World<'_, T> {
    /// Performs a step. One that finds nothing to act on does nothing.
    pub(super) fn perform(&mut self, action: &Action) {
        match action {
            Action::Dial { stream, from, to, target, within } => {
                let (stream, from, to, within) = (*stream, *from, *to, *within);
                self.dial(&Dial { stream, from, to, plan: target, within });
            }
            Action::Write { stream, bytes } => {
                self.tell_application(*stream, |player| player.write_more((*bytes).into()));
            }
            Action::Read { stream, bytes } => {
                self.tell_application(*stream, |player| player.read_more((*bytes).into()));
            }
            Action::ReadAll { stream } => self.tell_application(*stream, Player::read_all),
            Action::Finish { stream } => self.tell_application(*stream, Player::finish),
            Action::Reset { stream } => self.tell_application(*stream, Player::reset),
            Action::Drop { stream } => self.tell_application(*stream, Player::let_go),
            Action::Replace { agent } => self.replace_process(usize::from(*agent)),
            Action::Disconnect { agent } => self.disconnect(usize::from(*agent)),
            Action::Drain { agent, by_server, within } => {
                let side = if *by_server { SERVER } else { AGENT };
                self.drain_agent(usize::from(*agent), side, *within);
            }
            Action::Restart { host, within } => self.restart(*host, *within),
            Action::Crash { host } => {
                self.note_crash(*host);
                self.crash(*host);
            }
            Action::Bounce { host } => self.bounce(*host),
            Action::Say { agent, message } => self.say(usize::from(*agent), message),
            Action::Idle => {}
            fault => self.fault(fault),
        }
    }

    pub(super) fn tell_application(&mut self, id: StreamId, tell: impl FnOnce(&mut Player)) {
        let Some(place) = self.stage.find(id) else { return };
        let Some(stream) = self.stage.streams.get_mut(place) else { return };
        if let Some(player) = stream.player(Role::Near) {
            tell(player);
        }
        if let Some(seat) = stream.seat
            && let Some(end) = self.end(seat.link, seat.side)
        {
            end.rouse(seat.id);
        }
    }

    fn replace_process(&mut self, agent: usize) {
        let Some(host) = self.agents.get_mut(agent) else { return };
        if host.processes.is_empty() {
            return;
        }
        let mut idle = Vec::new();
        host.processes.retain_mut(|process| {
            process.last = true;
            if let State::Connecting(link, _) = process.state {
                idle.push(link);
            }
            matches!(process.state, State::Connected(_))
        });
        for link in idle {
            self.leave(link);
        }
        self.start_process(agent);
    }

    fn disconnect(&mut self, agent: usize) {
        let Some(host) = self.agents.get(agent) else { return };
        let Some(server) = self.servers.get(host.server) else { return };
        let key = server.registry.lookup_local(&host.key);
        let session = server.sessions.iter().find(|(of, _)| Some(*of) == key);
        let Some(link) = session.map(|(_, link)| *link) else { return };
        self.close(link, SERVER, "disconnected");
    }

    /// Ends a session now.
    pub(super) fn close(&mut self, link: u32, side: usize, text: &str) {
        let now = self.stage.now;
        self.shake(link);
        let Some(end) = self.end(link, side) else { return };
        if let Some(session) = end.actor.session() {
            session.close(now, GoAwayCode::SHUTDOWN, text);
        } else {
            end.actor.handle_transport_ended(now, text);
        }
        end.touched = true;
    }

    /// What is done to a link now may end its sessions.
    pub(super) fn shake(&mut self, link: u32) {
        if let Some((_, link)) = self.link(link) {
            link.shaken = true;
        }
    }

    pub(super) fn drain_agent(&mut self, agent: usize, side: usize, within: u32) {
        let Some(link) = self.connected(agent) else { return };
        if self.is_dialling(agent) {
            self.stage.note(Situation::DrainWhileDialling);
        }
        if self.is_transferring(agent) {
            self.stage.note(Situation::DrainDuringTransfer);
        }
        self.drain(link, side, within);
    }

    fn drain(&mut self, link: u32, side: usize, within: u32) {
        let now = self.stage.now;
        self.shake(link);
        let Some(end) = self.end(link, side) else { return };
        match end.actor.session() {
            Some(session) => session.drain(now, "drained", millis(within)),
            // It knows no other way.
            None => end.actor.handle_transport_ended(now, "drained"),
        }
        end.touched = true;
    }

    fn restart(&mut self, host: Host, within: u32) {
        match host {
            Host::Agent(agent) => self.restart_agent(usize::from(agent), within),
            Host::Server(server) => self.restart_server(usize::from(server), within),
            Host::Strangers => {}
        }
    }

    fn restart_agent(&mut self, agent: usize, within: u32) {
        self.note_restart(agent);
        let Some(host) = self.agents.get_mut(agent) else { return };
        let (mut up, mut idle) = (Vec::new(), Vec::new());
        for process in &mut host.processes {
            match process.state {
                State::Connected(link) => {
                    process.restarting = true;
                    up.push(link);
                }
                State::Connecting(link, _) => idle.push(link),
                State::Waiting(_) => {}
            }
        }
        let there = !host.processes.is_empty();
        host.processes.retain(|process| matches!(process.state, State::Connected(_)));
        let starts = there && host.processes.iter().all(|process| process.last);
        for link in idle {
            self.leave(link);
        }
        for link in up {
            self.drain(link, AGENT, within);
        }
        if starts {
            self.start_process(agent);
        }
    }

    fn restart_server(&mut self, server: usize, within: u32) {
        let Some(host) = self.servers.get_mut(server).filter(|host| host.up) else { return };
        host.stopping = !host.sessions.is_empty();
        let links: Vec<_> = host.sessions.iter().map(|(_, link)| *link).collect();
        for link in links {
            if let Some(agent) = self.link(link).map(|(_, link)| link.agent) {
                self.note_restart(agent);
            }
            self.drain(link, SERVER, within);
        }
    }

    fn note_restart(&mut self, agent: usize) {
        if self.is_transferring(agent) {
            self.stage.note(Situation::RestartDuringTransfer);
        }
    }

    /// A host starts again; if it runs, it dies before.
    pub(super) fn bounce(&mut self, host: Host) {
        self.note_crash(host);
        self.crash(host);
        match host {
            Host::Agent(agent) => self.start_process(usize::from(agent)),
            Host::Server(server) => {
                if let Some(server) = self.servers.get_mut(usize::from(server)) {
                    server.up = true;
                }
            }
            Host::Strangers => {}
        }
    }

    fn note_crash(&mut self, host: Host) {
        let (agents, situation) = match host {
            Host::Agent(agent) => {
                let agent = usize::from(agent);
                (agent..agent + 1, Situation::AgentCrashDuringTransfer)
            }
            Host::Server(_) => (0..self.agents.len(), Situation::ServerCrashDuringTransfer),
            Host::Strangers => return,
        };
        if agents.into_iter().any(|agent| self.is_transferring(agent)) {
            self.stage.note(situation);
        }
    }

    /// Whether a dial through the agent's sessions is in flight.
    pub(super) fn is_dialling(&self, agent: usize) -> bool {
        let records = &self.stage.observed.streams;
        self.stage.streams.iter().filter(|stream| stream.agent == agent).any(|stream| {
            let record = stream.record.and_then(|record| records.get(record));
            record.is_some_and(|record| record.dial == DialOutcome::Pending)
        })
    }

    /// Whether a stream through the agent's sessions is open.
    pub(super) fn is_transferring(&self, agent: usize) -> bool {
        self.stage.streams.iter().any(|stream| stream.agent == agent && stream.is_open())
    }

    /// Whether the agent is hostile.
    pub(super) fn is_hostile(&self, agent: usize) -> bool {
        let kind = self.agents.get(agent).map(|host| host.kind);
        matches!(kind, Some(AgentKind::Hostile { .. }))
    }
}
