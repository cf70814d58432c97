//! The ledgers of the hosts, and the checks of the world.

use watertight_core::{Ledger, SessionConfig};

use super::link::LinkEnd;
use super::tunnel::Tunnel;
use super::world::{AGENT, CoreWorld, SERVER};
use crate::invariant::{When, check};
use crate::{Bounds, Counts, Situation, Violation};

/// One of so many moments is checked closely: a check takes longer than the moment itself.
const LOOKS_EVERY: u64 = 16;
/// One of so many steps is checked closely.
const LOOKS_AFTER: u128 = 3;
/// One of so many checks counts everything again.
const COUNTS_EVERY: u64 = 8;

/// The cost of a byte that a session holds: a slice of a message keeps its whole buffer.
const SLICES: u64 = 4;
/// The heap of a row of a session's table, with its queues and timers, and of the world's record of it.
const ROW: u64 = 2 << 10;
/// The heap of a queued message.
const MESSAGE: u64 = 256;
/// The heap of a pipe beside its capacity: the last message may pass that, and buffers double.
const PIPE: u64 = 256 << 10;
/// The heap of the world's record of a stream.
const STREAM: u64 = 1 << 10;
/// Two sessions at rest, about 6 KiB each, most of that one empty leaf of the table; and a list of
/// connections in transit, which has 4 KiB in the base dialect.
const LINK: u64 = 24 << 10;
/// The world itself.
const WORLD: u64 = 16 << 10;

impl<T: Tunnel> CoreWorld<'_, T> {
    /// Looks at one moment of several.
    pub(super) fn look_sometimes(&mut self) {
        let phase = self.moments.wrapping_add(self.context.schedule.seed);
        if phase.is_multiple_of(LOOKS_EVERY) {
            self.check(When::Running);
        }
        if phase.is_multiple_of(LOOKS_EVERY * COUNTS_EVERY) {
            self.recount();
        }
    }

    /// Looks at the end of one step of several. Which one goes by the time, which stays as it is when
    /// other steps are left out.
    pub(super) fn look_after_step(&mut self) {
        let millis = self.context.at().as_millis();
        if (millis + u128::from(self.context.schedule.seed)).is_multiple_of(LOOKS_AFTER) {
            self.check(When::Running);
        }
    }

    /// Asks every invariant.
    pub(super) fn check(&mut self, when: When) {
        if self.violation.is_some() {
            return;
        }
        self.update_ledgers();
        self.update_records();
        self.bound_heap();
        self.context.observed.now = self.context.at();
        if let Err((invariant, what)) = check(when, &self.context.observed) {
            let (at, steps) = (self.context.at(), self.steps);
            self.violation = Some(Violation { invariant, what, at, steps });
        }
    }

    /// Every session counts what it holds again, and panics if it is wrong.
    pub(super) fn recount(&mut self) {
        for connected in self.links.iter_mut().flat_map(|link| &mut link.ends) {
            if let Some(session) = connected.there().and_then(|end| end.actor.session()) {
                super::tunnel::End::session(session).check();
            }
        }
    }

    fn update_ledgers(&mut self) {
        for (host_ledger, past) in self.context.observed.hosts.iter_mut().zip(&self.past) {
            host_ledger.connections = *past;
            host_ledger.sessions.live = 0;
            host_ledger.bounds = Bounds::default();
        }
        for link in &mut self.links {
            let Some(host) = self.agents.get(link.agent) else { continue };
            let servers = self.servers.get(host.server).map(|server| server.host_ledger);
            for (side, host_ledger) in [(AGENT, host.host_ledger), (SERVER, servers)] {
                let end = link.ends.get_mut(side).and_then(LinkEnd::there);
                let Some(end) = end else { continue };
                let Some(ledger) = end.actor.ledger() else { continue };
                let host_ledger = host_ledger
                    .and_then(|host_ledger| self.context.observed.hosts.get_mut(host_ledger));
                let (Some(host_ledger), Some(config)) = (host_ledger, self.configs.get(side))
                else {
                    continue;
                };
                host_ledger.connections.absorb(&ledger);
                host_ledger.sessions.live += u64::from(!end.actor.has_ended());
                add(&mut host_ledger.bounds, &bounds(config, host.kind.is_base()));
                note_held(&mut self.context.seen, end, &ledger, config);
            }
        }
        for server in &self.servers {
            let routes = server.registry.ledger().routes;
            if let Some(host_ledger) = self.context.observed.hosts.get_mut(server.host_ledger) {
                let (added, removed, live) = (routes.added, routes.removed, routes.live);
                host_ledger.routes = Counts { added, removed, live };
            }
        }
    }

    /// The buffers of the pipes are the world's own: at rest, they are no larger than they must be.
    pub(super) fn compact(&mut self) {
        for pipe in self.links.iter_mut().flat_map(|link| &mut link.pipes) {
            pipe.compact();
        }
    }

    /// The bound of the heap of the world, its own ledgers included.
    fn bound_heap(&mut self) {
        let link = 2 * (u64::from(self.context.schedule.knobs.link.capacity) + PIPE)
            + heap_of_link(&self.configs);
        let streams = self.context.streams.len() as u64 * STREAM;
        let most = self.most_links as u64;
        self.context.observed.heap_bound = most * link + streams + WORLD;
        self.context.observed.heap_at_rest = self.links.len() as u64 * LINK + streams + WORLD;
    }

    fn update_records(&mut self) {
        let moved = 8 * self.configs.iter().map(|of| of.limits.initial_window).max().unwrap_or(0);
        for stream in self.context.streams.iter_mut().filter(|stream| stream.changed) {
            stream.changed = false;
            let record = stream.record.and_then(|at| self.context.observed.streams.get_mut(at));
            let Some(record) = record else { continue };
            record.near.clone_from(stream.near.end());
            record.far = stream.far.as_ref().map(|far| far.end().clone());
            let Some(far) = &record.far else { continue };
            let near = &record.near;
            let both = near.read > 0 && far.read > 0 && near.eof && far.eof;
            self.context.seen.note_if(both, Situation::BothWaysComplete);
            self.context.seen.note_if(near.read.max(far.read) > moved, Situation::MuchMoved);
        }
    }
}

/// The heap that the two sessions of a link may take.
fn heap_of_link(configs: &[SessionConfig; 2]) -> u64 {
    let heap = |config: &SessionConfig| {
        // Each dialect has its own bound for what is unread.
        let (extended, base) = (bounds(config, false), bounds(config, true));
        let bytes = extended.bytes_to_send + extended.bytes_received.max(base.bytes_received);
        SLICES * bytes + extended.connections * ROW + extended.queued_control * MESSAGE
    };
    configs.iter().map(heap).sum()
}

/// The bounds of a session.
fn bounds(config: &SessionConfig, base: bool) -> Bounds {
    let limits = &config.limits;
    let connections = limits.max_connections as u64;
    let bytes_received = if base {
        limits.base.unread_budget as u64
    } else {
        connections * limits.initial_window + limits.window_budget
    };
    // Control messages of the connections pass the limit; with pings and the list.
    let answers = limits.max_queued_control.max(4 * limits.max_connections);
    Bounds {
        connections,
        bytes_to_send: limits.send_budget as u64,
        bytes_received,
        queued_control: answers as u64 + 2 * connections + 4,
        handshakes: 0,
        sockets: 0,
    }
}

const fn add(sum: &mut Bounds, more: &Bounds) {
    sum.connections += more.connections;
    sum.bytes_to_send += more.bytes_to_send;
    sum.bytes_received += more.bytes_received;
    sum.queued_control += more.queued_control;
}

fn note_held<E: super::tunnel::End>(
    seen: &mut crate::situation::Situations,
    end: &super::link::Endpoint<E>,
    ledger: &Ledger,
    config: &SessionConfig,
) {
    if ledger.bytes_to_send >= config.limits.send_budget as u64 {
        let blocked = end.handles.iter().filter(|handle| handle.write_blocked).count();
        seen.note_if(blocked > 1, Situation::BudgetUsedUp);
    }
    if ledger.bytes_received > 0 {
        // All reads that can succeed have succeeded when the world is checked.
        let stopped = end.handles.iter().any(|handle| handle.open && !handle.released);
        seen.note_if(stopped, Situation::ReaderStopped);
    }
}
