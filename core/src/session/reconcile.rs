//! Reconciliation: each end says what it still has, and what only one end has is closed.
//!
//! On an ordered, reliable transport between two right ends it never finds anything; it is the
//! net under a wrong one.

use alloc::vec::Vec;

use super::Session;
use crate::connection::Signal;
use crate::timers::Timer;
use crate::wire::Body;
use crate::{ConnectionId, Instant};

/// How many ids that a remotedialer acceptor has not used yet we list as live.
///
/// It closes every connection that is not listed, even one whose Connect is still on its way to
/// us (bug R9). It counts its ids upward, so listing the next ones protects those, and an id that
/// it never used costs nothing.
const LOOK_AHEAD: i64 = 512;

/// How many lists in a row must lack a connection before it is closed (base dialect).
///
/// A remotedialer connector may take its list before a Connect of either end and send it after.
/// The next list is a minute younger, so a connection that it lacks too is really gone.
const MISSED_LISTS: u8 = 2;

impl Session {
    pub(super) fn on_reconcile_timer(&mut self, now: Instant) {
        if !self.table.is_empty() {
            self.outbox.set_list(now);
        }
        self.timers.arm(Timer::Reconcile, now + self.config.timing.reconcile);
    }

    /// The list of what we have, as the dialect words it.
    pub(super) fn list(&self) -> Body {
        let mut ids: Vec<_> = self.table.ids().collect();
        let newest = self.numbers.newest_peer();
        if self.extended() {
            return Body::Sync { newest, ids };
        }
        let next = newest.get().max(0).saturating_add(1);
        ids.extend((next..next.saturating_add(LOOK_AHEAD)).map(ConnectionId::from_wire));
        Body::SyncConnections { ids }
    }

    /// The other end's list (extended dialect). Messages are ordered, so a connection that it
    /// does not have, and of which it has heard, ended there without a word to us.
    pub(super) fn on_sync(&mut self, newest: ConnectionId, listed: &[ConnectionId]) {
        let missing: Vec<_> = self
            .table
            .ids()
            .filter(|id| !self.numbers.is_own(*id) || *id <= newest)
            .filter(|id| listed.binary_search(id).is_err())
            .collect();
        self.close_missing(missing);
    }

    /// A remotedialer connector's list.
    pub(super) fn on_sync_connections(&mut self, mut listed: Vec<ConnectionId>) {
        listed.sort_unstable();
        let ids: Vec<_> = self.table.ids().collect();
        let missing = ids.into_iter().filter(|id| {
            let listed = listed.binary_search(id).is_ok();
            let missed = self.table.update(*id, |row| {
                row.missed_lists = if listed || !row.announced { 0 } else { row.missed_lists + 1 };
                row.missed_lists
            });
            missed.is_some_and(|missed| missed >= MISSED_LISTS)
        });
        let missing = missing.collect();
        self.close_missing(missing);
    }

    fn close_missing(&mut self, missing: Vec<ConnectionId>) {
        for id in missing {
            // The table has no violation for this signal.
            self.apply(id, Signal::NotListed, "the other end does not list it").ok();
        }
    }
}
