//! How sessions and hosts go.

use watertight_core::registry::{Registry, RegistryLimits};
use watertight_core::{Ledger, SessionEnd};

use super::context::Role;
use super::link::LinkEnd;
use super::tunnel::Tunnel;
use super::world::{AGENT, CoreWorld, ProcessState, SERVER};
use crate::schedule::{Host, millis};
use crate::{Bounds, DialOutcome, HostLedger};

impl<T: Tunnel> CoreWorld<'_, T> {
    /// What follows from what an end has just done: its session may be over.
    pub(super) fn after_tending(&mut self, index: usize, side: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let agent = link.agent;
        let Some(end) = link.ends.get_mut(side).and_then(LinkEnd::there) else { return };
        let is_session = end.actor.session().is_some();
        let ended = end.actor.has_ended() && !std::mem::replace(&mut end.counted, true);
        let reported = std::mem::take(&mut end.closed);
        let parts = reported > 0 && !std::mem::replace(&mut end.parted, true);
        let over = end.parted;
        if is_session
            && let Some(host_ledger) = self.host_ledger_of(agent, side)
            && let Some(host_ledger) = self.context.observed.hosts.get_mut(host_ledger)
        {
            host_ledger.sessions.removed += u64::from(ended);
            host_ledger.closes_reported += reported;
        }
        if parts {
            self.part(index, side);
        }
        if over {
            self.close_transport(index, side);
        }
    }

    /// The host is notified that a session has ended.
    fn part(&mut self, index: usize, side: usize) {
        let now = self.context.now;
        let close_message = millis(self.context.schedule.knobs.timing.handshake);
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let mut replaced = false;
        if let Some(end) = link.ends.get_mut(side).and_then(LinkEnd::there) {
            end.farewell_until = Some(now + close_message);
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
        if let Some(site) = server.sessions.iter().position(|(_, link)| *link == number) {
            let (key, _) = server.sessions.remove(site);
            server.registry.remove(key);
        }
        if server.stopping && server.sessions.is_empty() {
            server.stopping = false;
        }
    }

    /// A session that has ended sends its close message; then its transport is closed, and once its last
    /// handle is dropped, nothing of it is left.
    fn close_transport(&mut self, index: usize, side: usize) {
        let now = self.context.now;
        let Some(link) = self.links.get(index) else { return };
        let agent = link.agent;
        let direction = self.direction(agent, side);
        let Some(link) = self.links.get_mut(index) else { return };
        let (Some(connected), Some(pipe)) = (link.ends.get_mut(side), link.pipes.get_mut(side))
        else {
            return;
        };
        let Some(end) = connected.there() else { return };
        let sent = !end.actor.has_transmit() || !pipe.is_open();
        let late = end.farewell_until.is_some_and(|until| until <= now);
        if sent || late {
            end.farewell_until = None;
        }
        if (sent || late) && !end.shut && self.tunnel.habits().closes_transport {
            end.shut = true;
            pipe.close(now, direction);
            // A close message that was not sent in time is never sent.
            end.actor.handle_transport_ended(now, "closed");
        }
        if end.shut && end.handles.is_empty() {
            let ledger = end.actor.ledger();
            *connected = LinkEnd::Disconnected;
            self.parted = true;
            self.absorb(agent, side, ledger);
        }
    }

    fn absorb(&mut self, agent: usize, side: usize, ledger: Option<Ledger>) {
        let Some(ledger) = ledger else { return };
        self.context.seen.note_causes(&ledger);
        if let Some(past) =
            self.host_ledger_of(agent, side).and_then(|host_ledger| self.past.get_mut(host_ledger))
        {
            past.absorb(&ledger);
        }
    }

    /// The transport has ended under an end.
    pub(super) fn on_end_of_pipe(&mut self, index: usize, to: usize) {
        let now = self.context.now;
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let Some(connected) = link.ends.get_mut(to) else { return };
        match connected {
            LinkEnd::There(end) => {
                end.actor.handle_transport_ended(now, "the remote closed it");
                end.touched = true;
            }
            LinkEnd::Before => {
                *connected = LinkEnd::Disconnected;
                self.parted = true;
                if to == AGENT {
                    self.leave(number);
                    self.try_again(agent, number, |reconnect| reconnect.failed(now));
                } else {
                    let direction = self.direction(agent, SERVER);
                    if let Some((_, link)) = self.link(number) {
                        let [_, pipe] = &mut link.pipes;
                        pipe.close(now, direction);
                    }
                }
            }
            LinkEnd::Disconnected => {}
        }
    }

    /// A host's process dies: its sessions end without a message, and its system closes its sockets.
    pub(super) fn crash(&mut self, host: Host) {
        for index in 0..self.links.len() {
            for side in [AGENT, SERVER] {
                let link = self.links.get(index).map(|link| (link.number, link.agent));
                let Some((number, agent)) = link else { continue };
                if self.site(number, agent, side).host == host {
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
            Host::Unauthenticated => {}
        }
        self.forget_books(host);
    }

    /// The ledger of a process ends with it.
    fn forget_books(&mut self, host: Host) {
        let hosts = self.context.observed.hosts.iter_mut().zip(&mut self.past);
        for (host_ledger, past) in hosts.filter(|(host_ledger, _)| host_ledger.host == host) {
            let blamed = host_ledger.blamed.take();
            *host_ledger = HostLedger { blamed, ..HostLedger::new(host, Bounds::default()) };
            *past = Ledger::default();
        }
    }

    fn kill(&mut self, index: usize, side: usize) {
        let now = self.context.now;
        let Some(agent) = self.links.get(index).map(|link| link.agent) else { return };
        let direction = self.direction(agent, side);
        let Some(link) = self.links.get_mut(index) else { return };
        let (Some(connected), Some(pipe)) = (link.ends.get_mut(side), link.pipes.get_mut(side))
        else {
            return;
        };
        pipe.close(now, direction);
        (link.due, link.shaken) = (true, true);
        self.parted = true;
        let LinkEnd::There(mut end) = std::mem::replace(connected, LinkEnd::Disconnected) else {
            return;
        };
        if let Some(ledger) = end.actor.ledger() {
            self.context.seen.note_causes(&ledger);
        }
        for handle in end.handles {
            if let Some(record) = self.context.record(handle.stream)
                && handle.role == Role::Near
                && record.dial == DialOutcome::Pending
            {
                record.dial = DialOutcome::Failed("the host crashed".into());
            }
            let Some(stream) = self.context.streams.get_mut(handle.stream) else { continue };
            stream.excused = true;
            match handle.role {
                Role::Near => stream.connected = None,
                Role::Far => stream.far_connected = None,
            }
            if let Some(player) = stream.player(handle.role)
                && !player.is_done()
            {
                player.broke("its host crashed");
            }
        }
    }

    /// Links that no process uses any more.
    pub(super) fn sweep(&mut self) {
        let agents = &self.agents;
        self.links.retain(|link| {
            let connecting = || {
                let processes = agents.get(link.agent).map(|host| host.processes.iter());
                processes.into_iter().flatten().any(
                    |process| matches!(process.state, ProcessState::Connecting(of, _) if of == link.number),
                )
            };
            let there = link.ends.iter().any(|connected| matches!(connected, LinkEnd::There(_)));
            there || connecting()
        });
    }
}
