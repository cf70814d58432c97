//! Reconciliation with a remotedialer end, whose lists may be older than the Connects that they
//! lack.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::ConnectionId;
use crate::connection::Missing;
use crate::session::Session;
use crate::session::ids::SPAN;
use crate::session::row::Row;
use crate::wire::Body;

/// How many ids are listed as live, on either side of the newest one, that no message has used yet.
///
/// A remotedialer acceptor closes every connection that is not listed, even one whose Connect is
/// still on its way (bug R9). It counts its ids upward, so listing the next ones protects those
/// Connects, and those that a later one has overtaken. An id that it never used costs its 8 bytes.
///
/// Nobody can know how many are on their way; hardly more than arrived since the last list, which is
/// far longer ago than a message takes. So an idle session lists 4 KiB a minute, and a busy one up
/// to 32 KiB, or twice that if the remote leaves ids out: as many as are told apart.
const UNUSED_LISTED: RangeInclusive<u64> = 512..=SPAN;

impl Session {
    pub(in crate::session) fn base_list(&mut self, mut ids: Vec<ConnectionId>) -> Body {
        let recent = self.common.ids.take_recent();
        let around = recent.clamp(*UNUSED_LISTED.start(), *UNUSED_LISTED.end());
        ids.extend(self.common.ids.unseen(around));
        Body::SyncConnections { ids }
    }

    /// A remotedialer connector's list.
    pub(super) fn on_sync_connections(&mut self, mut listed: Vec<ConnectionId>) {
        listed.sort_unstable();
        let mut ids: Vec<_> = self.connections.ids().collect();
        ids.retain(|id| {
            let is_listed = listed.binary_search(id).is_ok();
            let missing =
                self.connections.with(*id, &mut self.common, |row| row.is_missing(is_listed));
            missing == Some(true)
        });
        self.close_missing(ids);
    }
}

impl Row<'_> {
    /// Whether lists have lacked the connection for long enough that it is gone at the remote.
    ///
    /// A remotedialer connector may take its list before a Connect reaches it, and the list arrives
    /// after that was sent (bug R9), on a slow link minutes after. A message that follows the answer
    /// to a ping which followed the Connect was sent after the Connect was read. The connector may
    /// have taken a list before, and written it since; that takes no longer than the silence after
    /// which a session is over, nor than twice that.
    fn is_missing(&mut self, listed: bool) -> bool {
        let now = self.session.now;
        if listed || !self.announced {
            self.missing = None;
            return false;
        }
        match self.missing {
            Some(Missing::Since(since)) => {
                return now - since >= self.session.config.timing.silence.saturating_mul(2);
            }
            Some(Missing::Asked(ping)) if ping <= self.session.keepalive.answered() => {
                self.missing = Some(Missing::Since(now));
            }
            // A connector whose transport is full drops its answer: the ping is repeated.
            asked => {
                let next = self.session.keepalive.next_ping();
                self.missing = asked.or(Some(Missing::Asked(next)));
                self.session.outbox.set_ping(now);
            }
        }
        false
    }
}
