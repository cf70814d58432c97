//! Reconciliation: each end says what it still has, and what only one end has is closed.
//!
//! On an ordered, reliable transport between two right ends it never finds anything; it is the
//! net under a wrong one.

use alloc::vec::Vec;

use super::input::Handled;
use super::{PeerMisbehaved, Session};
use crate::connection::Signal;
use crate::timers::Timer;
use crate::wire::Body;
use crate::{ConnectionId, Instant};

/// How many ids that we have not heard of yet we list as live, on either side of the newest one.
///
/// A remotedialer acceptor closes every connection that is not listed, even one whose Connect is
/// still on its way to us (bug R9). It counts its ids upward, so listing the next ones protects
/// those, and those that a later one has overtaken. An id that it never used costs nothing.
const LOOK_AROUND: i64 = 512;

impl Session {
    pub(super) fn on_reconcile_timer(&mut self, now: Instant) {
        // An end that has lost everything must say so, too; one that never had anything need not.
        if self.table.added() > 0 {
            self.outbox.set_list(now);
        }
        self.timers.arm(Timer::Reconcile, now + self.config.timing.reconcile);
    }

    /// The list of what we have, as the dialect words it.
    pub(super) fn list(&self) -> Body {
        let mut ids: Vec<_> = self.table.ids().collect();
        if self.extended() {
            return Body::Sync { newest: self.numbers.newest_peer(), ids };
        }
        ids.extend(self.numbers.unseen(LOOK_AROUND));
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
    pub(super) fn on_sync_connections(&mut self, mut listed: Vec<ConnectionId>) -> Handled {
        if self.extended() {
            return Err(PeerMisbehaved::NotAllowed("SyncConnections"));
        }
        listed.sort_unstable();
        let mut ids: Vec<_> = self.table.ids().collect();
        ids.retain(|id| self.is_missing(*id, listed.binary_search(id).is_ok()));
        self.close_missing(ids);
        Ok(())
    }

    /// Whether a connection has been missing for long enough to be really gone.
    ///
    /// A remotedialer connector may take its list before a Connect of ours reaches it, and we
    /// hear the list after having sent that (bug R9). Neither way takes longer than the silence
    /// after which a session is over, so a list that comes after twice that time has seen the
    /// Connect.
    fn is_missing(&mut self, id: ConnectionId, listed: bool) -> bool {
        let (now, enough) = (self.now, self.config.timing.silence.saturating_mul(2));
        let missing = self.table.update(id, |row| {
            if listed || !row.announced {
                row.missing_since = None;
                return false;
            }
            now - *row.missing_since.get_or_insert(now) >= enough
        });
        missing == Some(true)
    }

    fn close_missing(&mut self, missing: Vec<ConnectionId>) {
        for id in missing {
            // The table has no violation for this signal.
            self.apply(id, Signal::NotListed, "the other end does not list it").ok();
        }
    }
}
