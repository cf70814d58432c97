//! Reconciliation: each end says what it still has, and what only one end has is closed.
//!
//! On an ordered, reliable transport between two right ends it never finds anything; it is the
//! net under a wrong one.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::input::Handled;
use super::seen::SPAN;
use super::{PeerMisbehaved, Session};
use crate::connection::{Missing, Signal};
use crate::timers::Timer;
use crate::wire::Body;
use crate::{ConnectionId, Instant};

/// The fewest and the most ids that we have not heard of yet and list as live, on either side of the
/// newest one.
///
/// A remotedialer acceptor closes every connection that is not listed, even one whose Connect is
/// still on its way to us (bug R9). It counts its ids upward, so listing the next ones protects
/// those, and those that a later one has overtaken. An id that it never used costs its 8 bytes.
///
/// How many are on their way nobody can know; hardly more than came since the last list, which
/// is far longer ago than a message takes. So an idle session lists 4 KiB a minute, and a busy one up
/// to 32 KiB, or twice that if the other end leaves ids out: as many as are told apart.
const LOOK_AROUND: RangeInclusive<u64> = 512..=SPAN;

impl Session {
    pub(super) fn on_reconcile_timer(&mut self, now: Instant) {
        // An end that has lost everything must say so, too; one that never had anything need not.
        if self.table.added() > 0 {
            self.outbox.set_list(now);
        }
        self.timers.arm(Timer::Reconcile, now + self.config.timing.reconcile);
    }

    /// The list of what we have, as the dialect words it.
    pub(super) fn list(&mut self) -> Body {
        let mut ids: Vec<_> = self.table.ids().collect();
        if self.extended() {
            return Body::Sync { newest: self.numbers.newest_peer(), ids };
        }
        let recent = self.numbers.take_recent();
        let around = recent.clamp(*LOOK_AROUND.start(), *LOOK_AROUND.end());
        ids.extend(self.numbers.unseen(around));
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
    /// hear the list after having sent that (bug R9), on a slow link minutes after. What comes behind
    /// the answer to a ping that followed the Connect was sent after that was read. The connector may have
    /// taken a list before, and written it since; that takes no longer than the silence after which a
    /// session is over, nor than twice that.
    fn is_missing(&mut self, id: ConnectionId, listed: bool) -> bool {
        let (now, enough) = (self.now, self.config.timing.silence.saturating_mul(2));
        let (next, answered) = (self.keepalive.next_ping(), self.keepalive.answered());
        let mut asks = false;
        let missing = self.table.update(id, |row| {
            if listed || !row.announced {
                row.missing = None;
                return false;
            }
            match row.missing {
                Some(Missing::Since(since)) => return now - since >= enough,
                Some(Missing::Asked(ping)) if ping <= answered => {
                    row.missing = Some(Missing::Since(now));
                }
                // A connector whose transport is full drops its answer.
                asked => {
                    row.missing = asked.or(Some(Missing::Asked(next)));
                    asks = true;
                }
            }
            false
        });
        if asks {
            self.outbox.set_ping(now);
        }
        missing == Some(true)
    }

    fn close_missing(&mut self, missing: Vec<ConnectionId>) {
        for id in missing {
            // The table has no violation for this signal.
            self.apply(id, Signal::NotListed, "the other end does not list it").ok();
        }
    }
}
