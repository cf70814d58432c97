//! What the world shows of itself, and how it is checked.

use watertight_core::{Ledger, SessionConfig};

use super::link::Seated;
use super::tunnel::Tunnel;
use super::world::{AGENT, SERVER, World};
use crate::invariant::{When, check};
use crate::{Bounds, Situation, Tally, Violation};

/// Of so many moments, one is looked at closely: it takes longer than the moment itself.
const LOOKS_EVERY: u64 = 16;
/// Of so many steps, one is looked at closely.
const LOOKS_AFTER: u128 = 3;
/// Of so many looks, one counts everything again.
const COUNTS_EVERY: u64 = 8;

/// What a byte that a session holds may cost: a slice of a message keeps the buffer it came in.
const SLICES: u64 = 4;
/// What a row of a session's table takes, with its queues and timers, and what the world knows of it.
const ROW: u64 = 2 << 10;
/// What a queued message takes.
const MESSAGE: u64 = 256;
/// What a pipe takes beside its capacity: the last message may pass that, and buffers double.
const PIPE: u64 = 256 << 10;
/// What the world knows of a stream.
const STREAM: u64 = 1 << 10;
/// Two sessions at rest, about 6 KiB each, most of that one empty leaf of the table; and a list of
/// connections on its way, which has 4 KiB in the base dialect.
const LINK: u64 = 24 << 10;
/// The world itself.
const WORLD: u64 = 16 << 10;

impl<T: Tunnel> World<'_, T> {
    /// Looks at one moment of several.
    pub(super) fn look_sometimes(&mut self) {
        let phase = self.moments.wrapping_add(self.stage.schedule.seed);
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
        let millis = self.stage.at().as_millis();
        if (millis + u128::from(self.stage.schedule.seed)).is_multiple_of(LOOKS_AFTER) {
            self.check(When::Running);
        }
    }

    /// Asks every invariant.
    pub(super) fn check(&mut self, when: When) {
        if self.violation.is_some() {
            return;
        }
        self.update_books();
        self.update_records();
        self.bound_heap();
        self.stage.observed.now = self.stage.at();
        if let Err((invariant, what)) = check(when, &self.stage.observed) {
            let (at, steps) = (self.stage.at(), self.steps);
            self.violation = Some(Violation { invariant, what, at, steps });
        }
    }

    /// Every session counts what it holds again, and panics if it is wrong.
    pub(super) fn recount(&mut self) {
        for seat in self.links.iter_mut().flat_map(|link| &mut link.seats) {
            if let Some(session) = seat.there().and_then(|end| end.actor.session()) {
                super::tunnel::End::session(session).check();
            }
        }
    }

    fn update_books(&mut self) {
        for (books, past) in self.stage.observed.hosts.iter_mut().zip(&self.past) {
            books.connections = *past;
            books.sessions.live = 0;
            books.bounds = Bounds::default();
        }
        for link in &mut self.links {
            let Some(host) = self.agents.get(link.agent) else { continue };
            let servers = self.servers.get(host.server).map(|server| server.books);
            for (side, books) in [(AGENT, host.books), (SERVER, servers)] {
                let end = link.seats.get_mut(side).and_then(Seated::there);
                let Some(end) = end else { continue };
                let Some(ledger) = end.actor.ledger() else { continue };
                let books = books.and_then(|books| self.stage.observed.hosts.get_mut(books));
                let (Some(books), Some(config)) = (books, self.configs.get(side)) else { continue };
                books.connections.absorb(&ledger);
                books.sessions.live += u64::from(!end.actor.has_ended());
                add(&mut books.bounds, &bounds(config, host.kind.is_base()));
                note_held(&mut self.stage.seen, end, &ledger, config);
            }
        }
        for server in &self.servers {
            let routes = server.registry.ledger().routes;
            if let Some(books) = self.stage.observed.hosts.get_mut(server.books) {
                let (added, removed, live) = (routes.added, routes.removed, routes.live);
                books.routes = Tally { added, removed, live };
            }
        }
    }

    /// The buffers of the pipes are the world's own: at rest, they are no larger than they must be.
    pub(super) fn compact(&mut self) {
        for pipe in self.links.iter_mut().flat_map(|link| &mut link.pipes) {
            pipe.compact();
        }
    }

    /// How much heap the world may hold now, its own books included.
    fn bound_heap(&mut self) {
        let link =
            2 * (u64::from(self.stage.schedule.knobs.link.capacity) + PIPE) + self.heap_of_link;
        let streams = self.stage.streams.len() as u64 * STREAM;
        let most = self.most_links as u64;
        self.stage.observed.heap_bound = most * link + streams + WORLD;
        self.stage.observed.heap_at_rest = self.links.len() as u64 * LINK + streams + WORLD;
    }

    fn update_records(&mut self) {
        let moved = 8 * self.configs.iter().map(|of| of.limits.initial_window).max().unwrap_or(0);
        for stream in self.stage.streams.iter_mut().filter(|stream| stream.changed) {
            stream.changed = false;
            let record = stream.record.and_then(|at| self.stage.observed.streams.get_mut(at));
            let Some(record) = record else { continue };
            record.near.clone_from(stream.near.end());
            record.far = stream.far.as_ref().map(|far| far.end().clone());
            let Some(far) = &record.far else { continue };
            let near = &record.near;
            let both = near.read > 0 && far.read > 0 && near.eof && far.eof;
            self.stage.seen.note_if(both, Situation::BothWaysComplete);
            self.stage.seen.note_if(near.read.max(far.read) > moved, Situation::MuchMoved);
        }
    }
}

/// The heap that the two sessions of a link may take.
pub(super) fn heap_of_link(configs: &[SessionConfig; 2]) -> u64 {
    let heap = |config: &SessionConfig| {
        // Each dialect has its own bound for what is unread.
        let (extended, base) = (bounds(config, false), bounds(config, true));
        let bytes = extended.bytes_to_send + extended.bytes_received.max(base.bytes_received);
        SLICES * bytes + extended.connections * ROW + extended.queued_control * MESSAGE
    };
    configs.iter().map(heap).sum()
}

/// What a session may hold.
fn bounds(config: &SessionConfig, base: bool) -> Bounds {
    let limits = &config.limits;
    let connections = limits.max_connections as u64;
    let bytes_received = if base {
        limits.base.unread_budget as u64
    } else {
        connections * limits.initial_window + limits.window_budget
    };
    // What the connections have to say passes the limit; with the signs of life and the list.
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
    seen: &mut crate::situation::Seen,
    end: &super::endpoint::Endpoint<E>,
    ledger: &Ledger,
    config: &SessionConfig,
) {
    if ledger.bytes_to_send >= config.limits.send_budget as u64 {
        let blocked = end.handles.iter().filter(|handle| handle.write_blocked).count();
        seen.note_if(blocked > 1, Situation::BudgetUsedUp);
    }
    if ledger.bytes_received > 0 {
        // Everybody who wants to read has read when the world is looked at.
        let stopped = end.handles.iter().any(|handle| handle.open && !handle.released);
        seen.note_if(stopped, Situation::ReaderStopped);
    }
}
