//! How sessions and hosts go.

use watertight_core::registry::{Registry, RegistryLimits};
use watertight_core::{Ledger, SessionEnd};

use super::link::Seated;
use super::stream::Role;
use super::tunnel::Tunnel;
use super::world::{AGENT, SERVER, State, World};
use crate::schedule::{Host, millis};
use crate::{Bounds, DialOutcome, HostBooks};

impl<T: Tunnel> World<'_, T> {
    /// What follows from what an end has just done: its session may be over.
    pub(super) fn after_tending(&mut self, index: usize, side: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let agent = link.agent;
        let Some(end) = link.seats.get_mut(side).and_then(Seated::there) else { return };
        let is_session = end.actor.session().is_some();
        let ended = end.actor.has_ended() && !std::mem::replace(&mut end.counted, true);
        let reported = std::mem::take(&mut end.closed);
        let parts = reported > 0 && !std::mem::replace(&mut end.parted, true);
        let over = end.parted;
        if is_session
            && let Some(books) = self.books_of(agent, side)
            && let Some(books) = self.stage.observed.hosts.get_mut(books)
        {
            books.sessions.removed += u64::from(ended);
            books.closes_reported += reported;
        }
        if parts {
            self.part(index, side);
        }
        if over {
            self.close_transport(index, side);
        }
    }

    /// The host hears that a session is over.
    fn part(&mut self, index: usize, side: usize) {
        let now = self.stage.now;
        let farewell = millis(self.stage.schedule.knobs.timing.handshake);
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let mut replaced = false;
        if let Some(end) = link.seats.get_mut(side).and_then(Seated::there) {
            end.farewell_until = Some(now + farewell);
            let session = end.actor.session();
            let why = session.and_then(|session| super::tunnel::ended(session));
            replaced = matches!(why, Some(SessionEnd::RemoteClosed { code, .. })
                if *code == watertight_core::wire::GoAwayCode::REPLACED);
        }
        if side == SERVER {
            self.unregister(agent, number);
        } else {
            self.try_again(agent, number, |reconnect| {
                if replaced { reconnect.replaced(now) } else { reconnect.disconnected(now) }
            });
        }
    }

    fn unregister(&mut self, agent: usize, number: u32) {
        let server = self.agents.get(agent).map_or(0, |host| host.server);
        let Some(server) = self.servers.get_mut(server) else { return };
        if !self.tunnel.habits().removes_ended {
            return;
        }
        if let Some(place) = server.sessions.iter().position(|(_, link)| *link == number) {
            let (key, _) = server.sessions.remove(place);
            server.registry.remove(key);
        }
        if server.stopping && server.sessions.is_empty() {
            server.stopping = false;
        }
    }

    /// A session that is over says its last words; then its transport is closed, and once nobody
    /// has a handle any more, nothing of it is left.
    fn close_transport(&mut self, index: usize, side: usize) {
        let now = self.stage.now;
        let Some(link) = self.links.get(index) else { return };
        let agent = link.agent;
        let way = self.way(agent, side);
        let Some(link) = self.links.get_mut(index) else { return };
        let (Some(seat), Some(pipe)) = (link.seats.get_mut(side), link.pipes.get_mut(side)) else {
            return;
        };
        let Some(end) = seat.there() else { return };
        let said = !end.actor.has_transmit() || !pipe.is_open();
        let late = end.farewell_until.is_some_and(|until| until <= now);
        if said || late {
            end.farewell_until = None;
        }
        if (said || late) && !end.shut && self.tunnel.habits().closes_transport {
            end.shut = true;
            pipe.close(now, way);
            // What was not said in time is never said.
            end.actor.handle_transport_ended(now, "closed");
        }
        if end.shut && end.handles.is_empty() {
            let ledger = end.actor.ledger();
            *seat = Seated::Gone;
            self.parted = true;
            self.absorb(agent, side, ledger);
        }
    }

    fn absorb(&mut self, agent: usize, side: usize, ledger: Option<Ledger>) {
        let Some(ledger) = ledger else { return };
        self.stage.seen.note_causes(&ledger);
        if let Some(past) = self.books_of(agent, side).and_then(|books| self.past.get_mut(books)) {
            past.absorb(&ledger);
        }
    }

    /// The transport has ended under an end.
    pub(super) fn on_end_of_pipe(&mut self, index: usize, to: usize) {
        let now = self.stage.now;
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let Some(seat) = link.seats.get_mut(to) else { return };
        match seat {
            Seated::There(end) => {
                end.actor.handle_transport_ended(now, "the remote closed it");
                end.touched = true;
            }
            Seated::Before => {
                *seat = Seated::Gone;
                self.parted = true;
                if to == AGENT {
                    self.leave(number);
                    self.try_again(agent, number, |reconnect| reconnect.failed(now));
                } else {
                    let way = self.way(agent, SERVER);
                    if let Some((_, link)) = self.link(number) {
                        let [_, pipe] = &mut link.pipes;
                        pipe.close(now, way);
                    }
                }
            }
            Seated::Gone => {}
        }
    }

    /// A host's process dies: its sessions are gone without a word, and its system closes its
    /// sockets.
    pub(super) fn crash(&mut self, host: Host) {
        for index in 0..self.links.len() {
            for side in [AGENT, SERVER] {
                let link = self.links.get(index).map(|link| (link.number, link.agent));
                let Some((number, agent)) = link else { continue };
                if self.place(number, agent, side).host == host {
                    self.kill(index, side);
                }
            }
        }
        match host {
            Host::Agent(agent) => {
                if let Some(host) = self.agents.get_mut(usize::from(agent)) {
                    host.processes = Vec::new();
                }
            }
            Host::Server(server) => {
                if let Some(server) = self.servers.get_mut(usize::from(server)) {
                    (server.up, server.stopping) = (false, false);
                    server.registry = Registry::new(RegistryLimits::default());
                    server.sessions = Vec::new();
                }
            }
            Host::Strangers => {}
        }
        self.forget_books(host);
    }

    /// The books of a process are gone with it.
    fn forget_books(&mut self, host: Host) {
        let hosts = self.stage.observed.hosts.iter_mut().zip(&mut self.past);
        for (books, past) in hosts.filter(|(books, _)| books.host == host) {
            let blamed = books.blamed.take();
            *books = HostBooks { blamed, ..HostBooks::new(host, Bounds::default()) };
            *past = Ledger::default();
        }
    }

    fn kill(&mut self, index: usize, side: usize) {
        let now = self.stage.now;
        let Some(agent) = self.links.get(index).map(|link| link.agent) else { return };
        let way = self.way(agent, side);
        let Some(link) = self.links.get_mut(index) else { return };
        let (Some(seat), Some(pipe)) = (link.seats.get_mut(side), link.pipes.get_mut(side)) else {
            return;
        };
        pipe.close(now, way);
        (link.due, link.shaken) = (true, true);
        self.parted = true;
        let Seated::There(mut end) = std::mem::replace(seat, Seated::Gone) else { return };
        if let Some(ledger) = end.actor.ledger() {
            self.stage.seen.note_causes(&ledger);
        }
        for handle in end.handles {
            if let Some(record) = self.stage.record(handle.stream)
                && handle.role == Role::Near
                && record.dial == DialOutcome::Pending
            {
                record.dial = DialOutcome::Failed("the host crashed".into());
            }
            let Some(stream) = self.stage.streams.get_mut(handle.stream) else { continue };
            stream.excused = true;
            match handle.role {
                Role::Near => stream.seat = None,
                Role::Far => stream.far_seat = None,
            }
            if let Some(player) = stream.player(handle.role)
                && !player.is_done()
            {
                player.broke("its host crashed");
            }
        }
    }

    /// Links that nobody uses any more.
    pub(super) fn sweep(&mut self) {
        let agents = &self.agents;
        self.links.retain(|link| {
            let connecting = || {
                let processes = agents.get(link.agent).map(|host| host.processes.iter());
                processes.into_iter().flatten().any(
                    |process| matches!(process.state, State::Connecting(of, _) if of == link.number),
                )
            };
            let there = link.seats.iter().any(|seat| matches!(seat, Seated::There(_)));
            there || connecting()
        });
    }
}
