//! How agents get their sessions.

use watertight_core::Role;
use watertight_core::wire::{Dialect, GoAwayCode};

use super::actor::{Actor, Hostile};
use super::frame::{FrameKind, Label};
use super::link::{Endpoint, LinkEnd};
use super::remotedialer::Remotedialer;
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, CoreWorld, Process, ProcessState, SERVER};
use crate::Situation;
use crate::schedule::{AgentKind, HostileMessage, millis};

impl<T: Tunnel> CoreWorld<'_, T> {
    /// The processes that wait for their next try or for an answer, and have waited enough.
    pub(super) fn expire_processes(&mut self) {
        let now = self.context.now;
        if self.next_process.is_none_or(|next| next > now) {
            return;
        }
        for agent in 0..self.agents.len() {
            for site in 0.. {
                let host = self.agents.get_mut(agent);
                let Some(process) = host.and_then(|host| host.processes.get_mut(site)) else {
                    break;
                };
                match process.state {
                    ProcessState::Waiting(at) if at <= now => self.connect(agent, site),
                    ProcessState::Connecting(link, until) if until <= now => {
                        self.leave(link);
                        self.try_again(agent, link, |reconnect| reconnect.failed(now));
                    }
                    _ => {}
                }
            }
        }
        let processes = self.agents.iter().flat_map(|host| &host.processes);
        self.next_process = processes.filter_map(Process::next).min();
    }

    fn connect(&mut self, agent: usize, process: usize) {
        let number = self.add_link(agent);
        let until = self.context.now + millis(self.context.schedule.knobs.timing.handshake);
        let host = self.agents.get_mut(agent);
        if let Some(process) = host.and_then(|host| host.processes.get_mut(process)) {
            process.state = ProcessState::Connecting(number, until);
        }
        self.send_bare(number, AGENT, FrameKind::Hello);
        let host = self.site(number, agent, AGENT).host;
        self.context.event(host, || format!("connects (link {number})"));
    }

    fn send_bare(&mut self, number: u32, side: usize, kind: FrameKind) {
        let now = self.context.now;
        let Some(agent) = self.link(number).map(|(_, link)| link.agent) else { return };
        let direction = self.direction(agent, side);
        if let Some(pipe) = self.link(number).and_then(|(_, link)| link.pipes.get_mut(side)) {
            pipe.send(now, direction, kind, Label::default(), [&[], &[]]);
        }
    }

    /// An agent asks for a session.
    pub(super) fn on_hello(&mut self, index: usize) {
        let Some(link) = self.links.get(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let Some(host) = self.agents.get(agent) else { return };
        let server = self.servers.get_mut(host.server);
        let Some(server) = server.filter(|server| server.up && !server.stopping) else {
            self.turn_away(number, agent);
            return;
        };
        let replaced = match server.registry.insert_agent(&host.key) {
            Ok(inserted) => {
                let old = inserted.replaced.and_then(|key| {
                    server.sessions.iter().find(|(of, _)| *of == key).map(|(_, link)| *link)
                });
                server.sessions.retain(|(key, _)| Some(*key) != inserted.replaced);
                server.sessions.push((inserted.session, number));
                old
            }
            Err(error) => {
                self.context.contradiction(|| format!("an agent is refused: {error}"));
                return;
            }
        };
        if let Some(old) = replaced {
            self.replace(agent, old);
        }
        self.send_bare(number, SERVER, FrameKind::Accepted);
        let kind = self.agents.get(agent).map(|host| host.kind);
        let dialect = dialect(kind.is_some_and(AgentKind::is_base));
        let actor = self.session(SERVER, dialect);
        self.attach(number, agent, SERVER, actor);
    }

    fn replace(&mut self, agent: usize, old: u32) {
        if self.is_transferring(agent) {
            self.context.note(Situation::ReplacedDuringTransfer);
        }
        let now = self.context.now;
        if !self.tunnel.habits().closes_replaced {
            return;
        }
        self.shake(old);
        if let Some(end) = self.end(old, SERVER) {
            if let Some(session) = end.actor.session() {
                session.close(now, GoAwayCode::REPLACED, "a newer session of the same client");
            }
            end.touched = true;
        }
    }

    /// The server takes no session now: the agent's system is notified.
    fn turn_away(&mut self, number: u32, agent: usize) {
        let (now, direction) = (self.context.now, self.direction(agent, SERVER));
        if let Some((_, link)) = self.link(number) {
            let [_, pipe] = &mut link.pipes;
            pipe.close(now, direction);
            link.ends[SERVER] = LinkEnd::Disconnected;
            self.parted = true;
        }
    }

    /// The server has answered.
    pub(super) fn on_welcome(&mut self, number: u32, agent: usize) {
        let now = self.context.now;
        let Some(host) = self.agents.get_mut(agent) else { return };
        let connecting = |process: &&mut Process| match process.state {
            ProcessState::Connecting(link, _) => link == number,
            _ => false,
        };
        let Some(process) = host.processes.iter_mut().find(connecting) else { return };
        process.state = ProcessState::Connected(number);
        process.reconnect.connected(now);
        let again = std::mem::replace(&mut host.was_connected, true);
        let kind = host.kind;
        self.context.seen.note_if(again, Situation::Reconnected);
        let actor = match kind {
            AgentKind::Watertight | AgentKind::Base => self.session(AGENT, dialect(kind.is_base())),
            AgentKind::Remotedialer => {
                let timing = &self.context.schedule.knobs.timing;
                Actor::Remotedialer(Box::new(Remotedialer::new(now, timing)))
            }
            AgentKind::Hostile { .. } => Actor::Hostile(Hostile::default()),
        };
        self.attach(number, agent, AGENT, actor);
        if matches!(kind, AgentKind::Hostile { introduces_itself: true, .. }) {
            self.send_hostile(agent, &HostileMessage::INTRODUCTION);
        }
    }

    fn session(&self, side: usize, dialect: Dialect) -> Actor<T::End> {
        let config = self.configs.get(side).cloned().unwrap_or_default();
        let role = if side == AGENT { Role::Connector } else { Role::Acceptor };
        Actor::Session(Box::new(self.tunnel.end(self.context.now, role, dialect, config)))
    }

    fn attach(&mut self, number: u32, agent: usize, side: usize, actor: Actor<T::End>) {
        let host_ledger =
            self.host_ledger_of(agent, side).filter(|_| matches!(actor, Actor::Session(_)));
        if let Some(host_ledger) =
            host_ledger.and_then(|host_ledger| self.context.observed.hosts.get_mut(host_ledger))
        {
            host_ledger.sessions.added += 1;
        }
        if let Some((_, link)) = self.link(number)
            && let Some(connected) = link.ends.get_mut(side)
        {
            *connected = LinkEnd::There(Endpoint::new(actor));
        }
        let host = self.site(number, agent, side).host;
        self.context.event(host, || format!("has a session (link {number})"));
    }

    /// The agent's process goes away from a link through which it has no session yet.
    pub(super) fn leave(&mut self, number: u32) {
        let now = self.context.now;
        let Some(agent) = self.link(number).map(|(_, link)| link.agent) else { return };
        let direction = self.direction(agent, AGENT);
        if let Some((_, link)) = self.link(number) {
            let [pipe, _] = &mut link.pipes;
            pipe.close(now, direction);
            link.ends[AGENT] = LinkEnd::Disconnected;
            link.shaken = true;
            self.parted = true;
        }
    }

    /// The process that used this link waits, and then tries again; or it is over.
    pub(super) fn try_again(
        &mut self,
        agent: usize,
        number: u32,
        wait: impl FnOnce(&mut watertight_core::Reconnect) -> std::time::Duration,
    ) {
        let now = self.context.now;
        let Some(host) = self.agents.get_mut(agent) else { return };
        let uses = |process: &Process| match process.state {
            ProcessState::Connected(link) | ProcessState::Connecting(link, _) => link == number,
            ProcessState::Waiting(_) => false,
        };
        let Some(site) = host.processes.iter().position(uses) else { return };
        let Some(process) = host.processes.get_mut(site) else { return };
        if process.last || process.restarting {
            let starts_again = process.restarting && !process.last;
            host.processes.remove(site);
            if starts_again {
                self.start_process(agent);
            }
        } else {
            let at = now + wait(&mut process.reconnect);
            process.state = ProcessState::Waiting(at);
            self.wake_at(at);
        }
    }
}

pub(super) const fn dialect(base: bool) -> Dialect {
    if base { Dialect::Base } else { Dialect::Extended }
}
