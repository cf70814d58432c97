//! The connections of a session: one place that inserts them, one that removes them, and every
//! queue that lists them.

use alloc::collections::BTreeMap;

use super::common::Common;
use super::row::Row;
use super::schedule::Schedule;
use super::shared::{Shared, Totals};
use crate::connection::{Connection, Phase};
use crate::ledger::Ledger;
use crate::timers::Timer;
use crate::{ConnectionId, Instant};

/// Rows above which not every change counts them all again in a debug build: the check would be
/// quadratic over the life of a session. Tests count large tables by `Session::check`.
const CHECKED_ROWS: usize = 32;

/// The connections of a session.
///
/// [`insert`](Self::insert) alone adds a row, and [`with`](Self::with) alone changes and removes
/// one. Both keep totals and queues right, so `added − removed = rows` holds by construction.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Connections {
    rows: BTreeMap<ConnectionId, Connection>,
    shared: Shared,
}

impl Connections {
    /// Adds a pending dial of `target`, or a connection whose dial needs no answer. The caller has
    /// made sure that the id is free.
    pub(super) fn insert(&mut self, id: ConnectionId, connection: Connection, target: &str) {
        if let Some(deadline) = connection.deadline {
            self.shared.deadlines.insert(deadline);
        }
        let totals = Totals::of(&connection);
        let before = self.rows.insert(id, connection);
        debug_assert!(before.is_none(), "connection {id} inserted twice");
        self.shared.totals.add(totals);
        if totals.outbound > 0 {
            self.shared.outbound.insert(id, target);
        }
        if totals.inbound > 0 {
            self.shared.inbound.insert(id, target);
        }
        self.shared.added += 1;
        self.shared.live += 1;
        self.check_changed();
    }

    /// Changes a row, and removes it if `change` retired it. `None` if it is not there.
    pub(super) fn with<R>(
        &mut self,
        id: ConnectionId,
        session: &mut Common,
        change: impl FnOnce(&mut Row<'_>) -> R,
    ) -> Option<R> {
        let connection = self.rows.get_mut(&id)?;
        let mut row = Row::new(id, connection, &mut self.shared, session);
        let result = change(&mut row);
        let (before, retired) = (row.before(), row.retired());
        let after = if retired.is_none() { Totals::of(connection) } else { Totals::default() };
        self.shared.account(id, before, after);
        if let Some(cause) = retired {
            self.shared.removed.count(cause);
            self.shared.live -= 1;
            self.rows.remove(&id);
        }
        self.check_changed();
        Some(result)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.rows.get(&id)
    }

    pub(super) fn ids(&self) -> impl DoubleEndedIterator<Item = ConnectionId> + '_ {
        self.rows.keys().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows ever added.
    pub(super) const fn added(&self) -> u64 {
        self.shared.added
    }

    pub(super) const fn totals(&self) -> &Totals {
        &self.shared.totals
    }

    pub(super) const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Takes out the connection that sends the next message, of at most `max` bytes.
    pub(super) fn next_ready(&mut self, max: usize) -> Option<ConnectionId> {
        self.shared.ready.next(max)
    }

    /// Takes out the connection whose update is sent next.
    pub(super) fn next_update(&mut self) -> Option<ConnectionId> {
        self.shared.updates.pop()
    }

    /// Takes out the writer that is the next to use the send budget.
    pub(super) fn next_for_budget(&mut self) -> Option<ConnectionId> {
        self.shared.budget.pop()
    }

    /// Takes out a deadline that has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Timer> {
        self.shared.deadlines.expire(now)
    }

    /// Nothing is sent any more: the schedule's record of sent messages does not count.
    pub(super) fn forget_schedule(&mut self) {
        debug_assert!(self.shared.is_idle(), "connections of an ended session are queued");
        self.shared.ready = Schedule::default();
        self.shared.progressed(Instant::EPOCH);
    }

    /// The transport took a message, or found none.
    pub(super) fn progressed(&mut self, now: Instant) {
        self.shared.progressed(now);
    }

    /// The transport's own queue has moved.
    pub(super) fn moved(&mut self, at: Instant) {
        if !self.shared.is_idle() {
            self.shared.since = self.shared.since.max(at);
        }
    }

    /// Since when a connection waits for the transport, and the transport took nothing.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        (!self.shared.is_idle()).then_some(self.shared.since)
    }

    /// The ledger, without what the session itself holds.
    pub(super) fn ledger(&self) -> Ledger {
        let Shared { totals, added, removed, .. } = &self.shared;
        Ledger {
            added: *added,
            removed: *removed,
            live: self.rows.len() as u64,
            opening: totals.outbound as u64,
            dialing: totals.inbound as u64,
            bytes_to_send: totals.to_send as u64,
            bytes_received: totals.unread as u64,
            armed_timers: self.shared.deadlines.len() as u64,
            ..Ledger::default()
        }
    }

    /// The ledger balances: demanded of every change.
    fn check_changed(&self) {
        debug_assert_eq!(self.shared.live, self.rows.len());
        debug_assert_eq!(self.shared.added, self.shared.removed.total() + self.rows.len() as u64);
        if cfg!(debug_assertions) && self.rows.len() <= CHECKED_ROWS {
            self.check_totals();
        }
    }

    /// Counts everything again.
    ///
    /// # Panics
    /// If the totals are wrong, which is a bug in this module.
    fn check_totals(&self) {
        let mut counted = Totals::default();
        for row in self.rows.values() {
            counted.add(Totals::of(row));
        }
        assert_eq!(counted, self.shared.totals);
    }
}

/// Counting again, for tests.
impl Connections {
    /// # Panics
    /// If a total or a queue is wrong, which is a bug in this crate.
    pub(super) fn check(&self) {
        use crate::connection::Scheduling;

        self.check_totals();
        let Shared { totals, ready, updates, budget, .. } = &self.shared;
        let pending = (self.shared.outbound.len(), self.shared.inbound.len());
        assert_eq!(pending, (totals.outbound, totals.inbound));
        for state in [Scheduling::New, Scheduling::Old, Scheduling::Current] {
            let queued = ready.iter().filter(|(_, scheduling)| *scheduling == state);
            check_queue("ready", queued.map(|(id, _)| id), self, |row| row.scheduling == state);
        }
        check_queue("updates", updates.iter(), self, |row| row.owes_update);
        check_queue("budget", budget.iter(), self, |row| row.wants_budget);
        self.check_rows();
    }

    fn check_rows(&self) {
        use crate::connection::Flow;

        let deadlines = &self.shared.deadlines;
        for (id, row) in self.iter() {
            let armed = row.deadline.is_none_or(|deadline| deadlines.contains(deadline));
            assert!(armed, "{id} has a timer that is not armed");
            if let Flow::Credit(credit) = &row.flow {
                assert!(row.send.written() <= credit.limit(), "{id} wrote beyond its credit");
                assert!(row.recv.received() <= credit.granted(), "{id} received beyond its credit");
            }
            let readable = row.recv.unread() > 0 || !matches!(row.phase, Phase::Ended { .. });
            assert!(readable, "{id} has ended, and nothing is left to read");
        }
        let armed = self.iter().filter(|(_, row)| row.deadline.is_some()).count();
        assert_eq!(deadlines.len(), armed, "timers of connections that are gone");
    }
}

/// A queue has each connection whose row says so, once.
fn check_queue(
    name: &str,
    queue: impl Iterator<Item = ConnectionId>,
    connections: &Connections,
    is_queued: impl Fn(&Connection) -> bool,
) {
    let mut queued: alloc::vec::Vec<_> = queue.collect();
    queued.sort_unstable();
    let rows = connections.iter().filter(|(_, row)| is_queued(row)).map(|(id, _)| id);
    assert!(queued.iter().copied().eq(rows), "the queue {name} is {queued:?}");
}
