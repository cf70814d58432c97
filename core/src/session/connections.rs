//! The connections of a session: one function inserts them, one changes and removes them, and a
//! changed [`Row`] keeps every queue that lists it right.

use alloc::collections::BTreeMap;
use core::ops::{Deref, DerefMut};
#[cfg(feature = "testkit")]
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use super::Event;
use super::common::Common;
use super::schedule::Schedule;
use super::shared::{Shared, Totals};
use crate::connection::{Connection, Scheduling};
use crate::ledger::{Cause, Ledger};
use crate::time::{Deadline, Timer};
use crate::{ConnectionId, Instant};

/// Rows above which not every change counts them all again in a debug build: the check would be
/// quadratic over the life of a session. Tests count large tables by `Session::check`.
const CHECKED_ROWS: usize = 32;

/// The connections of a session.
///
/// [`insert`](Self::insert) alone adds a row, and [`with`](Self::with) alone changes and removes
/// one. Both keep totals and queues right, so `added − removed = rows` holds by construction.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Connections {
    rows: BTreeMap<ConnectionId, Connection>,
    shared: Shared,
}

/// Look-ups of a connection in the tables of all sessions so far, modulo 2³². Exact on one thread only: an
/// atomic addition would slow the exhaustive search, which has several.
#[cfg(feature = "testkit")]
pub static LOOK_UPS: AtomicU32 = AtomicU32::new(0);

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
        debug_assert!(id != ConnectionId::SESSION, "a connection has the id of the session");
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
        #[cfg(feature = "testkit")]
        LOOK_UPS.store(LOOK_UPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
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
        #[cfg(feature = "testkit")]
        LOOK_UPS.store(LOOK_UPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
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
            outbound_dials: totals.outbound as u64,
            inbound_dials: totals.inbound as u64,
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
    pub(super) fn check_totals(&self) {
        let mut counted = Totals::default();
        for row in self.rows.values() {
            counted.add(Totals::of(row));
        }
        assert_eq!(counted, self.shared.totals);
    }
}

/// A connection, with what it shares with the others and with the session.
///
/// [`Connections::with`](super::connections::Connections::with) makes it, and brings the totals up
/// to date when the change is over.
pub(super) struct Row<'a> {
    pub(super) id: ConnectionId,
    pub(super) connection: &'a mut Connection,
    pub(super) shared: &'a mut Shared,
    pub(super) session: &'a mut Common,
    /// The part of the totals that this row has until the change is over.
    before: Totals,
    retired: Option<Cause>,
}

impl Deref for Row<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for Row<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

impl<'a> Row<'a> {
    pub(super) fn new(
        id: ConnectionId,
        connection: &'a mut Connection,
        shared: &'a mut Shared,
        session: &'a mut Common,
    ) -> Self {
        let before = Totals::of(connection);
        Self { id, connection, shared, session, before, retired: None }
    }

    pub(super) const fn before(&self) -> Totals {
        self.before
    }

    /// Unread bytes of all connections, with the bytes that arrived or were read in this change.
    pub(super) const fn all_unread(&self) -> usize {
        self.shared.totals.unread - self.before.unread + self.connection.recv.unread()
    }

    pub(super) const fn retired(&self) -> Option<Cause> {
        self.retired
    }

    /// Marks the row for removal: the only function that does. It leaves every queue now.
    pub(super) fn remove(&mut self, cause: Cause) {
        debug_assert!(self.retired.is_none(), "connection {} removed twice", self.id);
        self.leave_queues();
        self.set_deadline(None);
        // The last event wakes the application, and none follows it.
        (self.send.wants_space, self.recv.wants_data) = (false, false);
        self.retired = Some(cause);
    }

    /// Puts the connection into the schedule, if it is not there.
    pub(super) fn mark_ready(&mut self) {
        if self.scheduling == Scheduling::Idle {
            self.shared.touch(self.session.now);
            debug_assert!(self.retired.is_none(), "the retired {} is queued", self.id);
            self.scheduling = Scheduling::New;
            self.shared.ready.push(self.id);
        }
    }

    /// Puts the connection into the queue of connections that owe a Credit, Pause or Resume.
    pub(super) fn mark_update(&mut self) {
        if !self.owes_update {
            self.shared.touch(self.session.now);
            debug_assert!(self.retired.is_none(), "the retired {} is queued", self.id);
            self.owes_update = true;
            self.shared.updates.push(self.id);
        }
    }

    /// Queues the writer for the session's send budget.
    pub(super) fn wait_for_budget(&mut self) {
        if !self.wants_budget {
            debug_assert!(self.retired.is_none(), "the retired {} is queued", self.id);
            self.wants_budget = true;
            self.shared.budget.push(self.id);
        }
    }

    /// Takes the connection out of every queue, and takes its Connect back if it was not sent.
    pub(super) fn leave_queues(&mut self) {
        let scheduling = core::mem::take(&mut self.scheduling);
        self.shared.ready.forget(self.id, scheduling);
        if core::mem::take(&mut self.owes_update) {
            self.shared.updates.forget(self.id);
        }
        if core::mem::take(&mut self.wants_budget) {
            self.shared.budget.forget(self.id);
        }
        if self.shared.is_idle() {
            self.shared.progressed(self.session.now);
        }
        if !self.announced {
            self.session.outbox.forget_connect(self.id);
        }
    }

    /// Arms the connection's timer `after` now, and disarms the former one.
    pub(super) fn arm(&mut self, timer: Timer, after: Duration) {
        self.set_deadline(Some(Deadline { at: self.session.now + after, timer }));
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Deadline>) {
        if let Some(before) = core::mem::replace(&mut self.deadline, deadline) {
            self.shared.deadlines.remove(before);
        }
        if let Some(deadline) = deadline {
            debug_assert!(self.retired.is_none(), "a timer of the retired {} is armed", self.id);
            self.shared.deadlines.insert(deadline);
        }
    }

    /// Reports the reader that found nothing.
    pub(super) fn wake_reader(&mut self) {
        if core::mem::take(&mut self.recv.wants_data) {
            self.session.events.push_back(Event::Readable(self.id));
        }
    }

    /// Reports the writer that found no space.
    pub(super) fn wake_writer(&mut self) {
        if core::mem::take(&mut self.send.wants_space) {
            self.session.events.push_back(Event::Writable(self.id));
        }
    }
}
