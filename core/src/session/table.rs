//! The session's connections: one door in, one door out, and the books.

use alloc::collections::BTreeMap;

use crate::ConnectionId;
use crate::connection::{Connection, Phase};
use crate::ledger::{Cause, Ledger, Removed};

/// What the rows hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Totals {
    pub(super) opening: usize,
    pub(super) dialing: usize,
    pub(super) to_send: usize,
    pub(super) received: usize,
    /// Windows, summed.
    pub(super) windows: u64,
}

impl Totals {
    fn of(row: &Connection) -> Self {
        Self {
            opening: usize::from(row.phase == Phase::Opening),
            dialing: usize::from(matches!(row.phase, Phase::Dialing(_))),
            to_send: row.send.queued(),
            received: row.recv.unread(),
            windows: row.recv.window(),
        }
    }

    fn add(&mut self, row: Self) {
        self.opening += row.opening;
        self.dialing += row.dialing;
        self.to_send += row.to_send;
        self.received += row.received;
        self.windows += row.windows;
    }

    fn subtract(&mut self, row: Self) {
        self.opening -= row.opening;
        self.dialing -= row.dialing;
        self.to_send -= row.to_send;
        self.received -= row.received;
        self.windows -= row.windows;
    }
}

/// Only [`insert`](Self::insert) and [`retire`](Self::retire) change which rows there are, and
/// only they touch the counters; only [`update`](Self::update) changes a row. So the books are
/// right by construction.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Table {
    rows: BTreeMap<ConnectionId, Connection>,
    totals: Totals,
    added: u64,
    removed: Removed,
}

impl Table {
    /// Adds a row. The caller has made sure that the id is free.
    pub(super) fn insert(&mut self, id: ConnectionId, row: Connection) {
        self.totals.add(Totals::of(&row));
        let before = self.rows.insert(id, row);
        debug_assert!(before.is_none(), "connection {id} inserted twice");
        self.added += 1;
        self.check();
    }

    /// Removes a row.
    pub(super) fn retire(&mut self, id: ConnectionId, cause: Cause) -> Option<Connection> {
        let row = self.rows.remove(&id)?;
        self.totals.subtract(Totals::of(&row));
        self.removed.count(cause);
        self.check();
        Some(row)
    }

    /// Changes a row, keeping the totals in step.
    pub(super) fn update<R>(
        &mut self,
        id: ConnectionId,
        change: impl FnOnce(&mut Connection) -> R,
    ) -> Option<R> {
        let row = self.rows.get_mut(&id)?;
        self.totals.subtract(Totals::of(row));
        let result = change(row);
        self.totals.add(Totals::of(row));
        Some(result)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.rows.get(&id)
    }

    pub(super) fn contains(&self, id: ConnectionId) -> bool {
        self.rows.contains_key(&id)
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

    /// Rows ever added.
    pub(super) fn added(&self) -> u64 {
        self.added
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The books, without what the session itself holds.
    pub(super) fn ledger(&self) -> Ledger {
        Ledger {
            added: self.added,
            removed: self.removed,
            live: self.rows.len() as u64,
            opening: self.totals.opening as u64,
            dialing: self.totals.dialing as u64,
            bytes_to_send: self.totals.to_send as u64,
            bytes_received: self.totals.received as u64,
            ..Ledger::default()
        }
    }

    /// The books are right: demanded of every transition.
    pub(super) fn check(&self) {
        debug_assert_eq!(self.added, self.removed.total() + self.rows.len() as u64);
        // The full count is quadratic over a session's life; large tables are sampled by tests.
        if cfg!(debug_assertions) && self.rows.len() <= 32 {
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
        assert_eq!(counted, self.totals);
    }
}
