//! How agents come to their sessions.

use watertight_core::Role;
use watertight_core::wire::{Dialect, GoAwayCode};

use super::actor::{Actor, Hostile};
use super::endpoint::Endpoint;
use super::frame::{FrameKind, Label};
use super::link::Seated;
use super::remotedialer::Remotedialer;
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, Process, SERVER, State, World};
use crate::Situation;
use crate::schedule::{AgentKind, HostileMessage, millis};

impl<T: Tunnel> World<'_, T> {
    /// The processes that wait for their next try or for an answer, and have waited enough.
    pub(super) fn expire_processes(&mut self) {
        let now = self.stage.now;
        if self.next_process.is_none_or(|next| next > now) {
            return;
        }
        for agent in 0..self.agents.len() {
            for place in 0.. {
                let host = self.agents.get_mut(agent);
                let Some(process) = host.and_then(|host| host.processes.get_mut(place)) else {
                    break;
                };
                match process.state {
                    State::Waiting(at) if at <= now => self.connect(agent, place),
                    State::Connecting(link, until) if until <= now => {
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
        let until = self.stage.now + millis(self.stage.schedule.knobs.timing.handshake);
        let host = self.agents.get_mut(agent);
        if let Some(process) = host.and_then(|host| host.processes.get_mut(process)) {
            process.state = State::Connecting(number, until);
        }
        self.send_bare(number, AGENT, FrameKind::Hello);
        let host = self.place(number, agent, AGENT).host;
        self.stage.told(host, || format!("connects (link {number})"));
    }

    fn send_bare(&mut self, number: u32, side: usize, kind: FrameKind) {
        let now = self.stage.now;
        let Some(agent) = self.link(number).map(|(_, link)| link.agent) else { return };
        let way = self.way(agent, side);
        if let Some(pipe) = self.link(number).and_then(|(_, link)| link.pipes.get_mut(side)) {
            pipe.send(now, way, kind, Label::default(), [&[], &[]]);
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
                self.stage.contradiction(|| format!("an agent is refused: {error}"));
                return;
            }
        };
        if let Some(old) = replaced {
            self.replace(agent, old);
        }
        self.send_bare(number, SERVER, FrameKind::Welcome);
        let kind = self.agents.get(agent).map(|host| host.kind);
        let dialect = dialect(kind.is_some_and(AgentKind::is_base));
        let actor = self.session(SERVER, dialect);
        self.seat(number, agent, SERVER, actor);
    }

    fn replace(&mut self, agent: usize, old: u32) {
        if self.is_transferring(agent) {
            self.stage.note(Situation::ReplacedDuringTransfer);
        }
        let now = self.stage.now;
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

    /// The server takes no session now: the agent's system is told.
    fn turn_away(&mut self, number: u32, agent: usize) {
        let (now, way) = (self.stage.now, self.way(agent, SERVER));
        if let Some((_, link)) = self.link(number) {
            let [_, pipe] = &mut link.pipes;
            pipe.close(now, way);
            link.seats[SERVER] = Seated::Gone;
            self.parted = true;
        }
    }

    /// The server has answered.
    pub(super) fn on_welcome(&mut self, number: u32, agent: usize) {
        let now = self.stage.now;
        let Some(host) = self.agents.get_mut(agent) else { return };
        let connecting = |process: &&mut Process| match process.state {
            State::Connecting(link, _) => link == number,
            _ => false,
        };
        let Some(process) = host.processes.iter_mut().find(connecting) else { return };
        process.state = State::Connected(number);
        process.reconnect.connected(now);
        let again = std::mem::replace(&mut host.was_connected, true);
        let kind = host.kind;
        self.stage.seen.note_if(again, Situation::Reconnected);
        let actor = match kind {
            AgentKind::Watertight | AgentKind::Base => self.session(AGENT, dialect(kind.is_base())),
            AgentKind::Remotedialer => {
                let timing = &self.stage.schedule.knobs.timing;
                Actor::Remotedialer(Box::new(Remotedialer::new(now, timing)))
            }
            AgentKind::Hostile { .. } => Actor::Hostile(Hostile::default()),
        };
        self.seat(number, agent, AGENT, actor);
        if matches!(kind, AgentKind::Hostile { introduces_itself: true, .. }) {
            self.say(agent, &HostileMessage::INTRODUCTION);
        }
    }

    fn session(&self, side: usize, dialect: Dialect) -> Actor<T::End> {
        let config = self.configs.get(side).cloned().unwrap_or_default();
        let role = if side == AGENT { Role::Connector } else { Role::Acceptor };
        Actor::Session(Box::new(self.tunnel.end(self.stage.now, role, dialect, config)))
    }

    fn seat(&mut self, number: u32, agent: usize, side: usize, actor: Actor<T::End>) {
        let books = self.books_of(agent, side).filter(|_| matches!(actor, Actor::Session(_)));
        if let Some(books) = books.and_then(|books| self.stage.observed.hosts.get_mut(books)) {
            books.sessions.added += 1;
        }
        if let Some((_, link)) = self.link(number)
            && let Some(seat) = link.seats.get_mut(side)
        {
            *seat = Seated::There(Endpoint::new(actor));
        }
        let host = self.place(number, agent, side).host;
        self.stage.told(host, || format!("has a session (link {number})"));
    }

    /// The agent's process goes away from a link through which it has no session yet.
    pub(super) fn leave(&mut self, number: u32) {
        let now = self.stage.now;
        let Some(agent) = self.link(number).map(|(_, link)| link.agent) else { return };
        let way = self.way(agent, AGENT);
        if let Some((_, link)) = self.link(number) {
            let [pipe, _] = &mut link.pipes;
            pipe.close(now, way);
            link.seats[AGENT] = Seated::Gone;
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
        let now = self.stage.now;
        let Some(host) = self.agents.get_mut(agent) else { return };
        let uses = |process: &Process| match process.state {
            State::Connected(link) | State::Connecting(link, _) => link == number,
            State::Waiting(_) => false,
        };
        let Some(place) = host.processes.iter().position(uses) else { return };
        let Some(process) = host.processes.get_mut(place) else { return };
        if process.last || process.restarting {
            let starts_again = process.restarting && !process.last;
            host.processes.remove(place);
            if starts_again {
                self.start_process(agent);
            }
        } else {
            let at = now + wait(&mut process.reconnect);
            process.state = State::Waiting(at);
            self.wake_at(at);
        }
    }
}

pub(super) const fn dialect(base: bool) -> Dialect {
    if base { Dialect::Base } else { Dialect::Extended }
}
