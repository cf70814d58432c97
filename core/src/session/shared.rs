//! Shared by the connections of a session: totals, pending dials by target, and queues.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound;

use super::schedule::{IdQueue, Schedule};
use crate::connection::{Connection, Phase};
use crate::ledger::Removed;
use crate::time::Deadlines;
use crate::{ConnectionId, Instant};

/// Sums over the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Totals {
    /// Pending outbound dials.
    pub(super) outbound: usize,
    /// Pending inbound dials.
    pub(super) inbound: usize,
    /// Bytes queued toward the transport.
    pub(super) to_send: usize,
    /// Bytes received and not read.
    pub(super) unread: usize,
    pub(super) windows: u64,
}

impl Totals {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            outbound: usize::from(connection.phase == Phase::PendingOutbound),
            inbound: usize::from(matches!(connection.phase, Phase::PendingInbound(_))),
            to_send: connection.send.queued(),
            unread: connection.recv.unread(),
            windows: connection.flow.window(),
        }
    }

    pub(super) fn add(&mut self, row: Self) {
        self.outbound += row.outbound;
        self.inbound += row.inbound;
        self.to_send += row.to_send;
        self.unread += row.unread;
        self.windows += row.windows;
    }

    fn subtract(&mut self, row: Self) {
        self.outbound -= row.outbound;
        self.inbound -= row.inbound;
        self.to_send -= row.to_send;
        self.unread -= row.unread;
        self.windows -= row.windows;
    }
}

/// Totals of the rows, and queues of them.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Shared {
    pub(super) totals: Totals,
    pub(super) live: usize,
    pub(super) added: u64,
    pub(super) removed: Removed,
    pub(super) outbound: PendingDials,
    pub(super) inbound: PendingDials,
    /// Connections with bytes or a Finish to send.
    pub(super) ready: Schedule,
    /// Connections that owe the remote a Credit, Pause or Resume.
    pub(super) updates: IdQueue,
    /// Connections whose writers wait for the session's send budget.
    pub(super) budget: IdQueue,
    pub(super) deadlines: Deadlines,
    /// When the transport last took a message, or something was queued for it while nothing was.
    pub(super) since: Instant,
}

impl Shared {
    /// Whether no connection waits for the transport.
    pub(super) fn is_idle(&self) -> bool {
        self.updates.is_empty() && self.ready.is_empty()
    }

    /// A connection is about to wait for the transport.
    pub(super) fn touch(&mut self, now: Instant) {
        if self.is_idle() {
            self.since = now;
        }
    }

    /// The transport took a message, or found none; or connections have left the queues.
    pub(super) fn progressed(&mut self, now: Instant) {
        // No time is kept while nothing waits: equal states are equal.
        self.since = if self.is_idle() { Instant::EPOCH } else { now };
    }

    /// A row changed from what `before` counts to what `after` counts.
    pub(super) fn account(&mut self, id: ConnectionId, before: Totals, after: Totals) {
        debug_assert!(
            after.outbound <= before.outbound && after.inbound <= before.inbound,
            "{id} becomes a pending dial again"
        );
        self.totals.subtract(before);
        self.totals.add(after);
        if before.outbound > after.outbound {
            self.outbound.remove(id);
        }
        if before.inbound > after.inbound {
            self.inbound.remove(id);
        }
    }
}

/// Pending dials that every target may have, however many others have.
const LEAST_SHARE: usize = 16;

/// The pending dials of one end.
///
/// A target may have as many of them as the limit still leaves free (a dynamic threshold, Choudhury
/// and Hahne 1998): a target that hangs takes half of the limit at most, the next one a quarter, and
/// each leaves space for targets that answer.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct PendingDials {
    targets: BTreeMap<ConnectionId, Arc<str>>,
    counts: BTreeMap<Arc<str>, usize>,
}

impl PendingDials {
    pub(super) fn insert(&mut self, id: ConnectionId, target: &str) {
        let known = self.counts.get_key_value(target).map(|(target, _)| Arc::clone(target));
        let target = known.unwrap_or_else(|| Arc::from(target));
        *self.counts.entry(Arc::clone(&target)).or_default() += 1;
        let before = self.targets.insert(id, target);
        debug_assert!(before.is_none(), "{id} dials twice");
        debug_assert!(self.counts.len() <= self.targets.len(), "a target without a pending dial");
    }

    /// The dial was answered, or ended. Removing it twice does no harm.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(target) = self.targets.remove(&id) else { return };
        debug_assert!(self.counts.contains_key(&target), "the dial of {target} is not counted");
        if let Some(count) = self.counts.get_mut(&target) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&target);
            }
        }
    }

    /// How many pending dials the target has, if that is its share.
    pub(super) fn excess(&self, target: &str, limit: usize) -> Option<usize> {
        let pending = self.counts.get(target).copied()?;
        let share = limit.saturating_sub(self.targets.len()).max(LEAST_SHARE);
        (pending >= share).then_some(pending)
    }

    /// The dials with a later id.
    pub(super) fn after(&self, last: ConnectionId) -> impl Iterator<Item = ConnectionId> + '_ {
        self.targets.range((Bound::Excluded(last), Bound::Unbounded)).map(|(id, _)| *id)
    }

    #[cfg(feature = "testkit")]
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> ConnectionId {
        ConnectionId::from_wire(number)
    }

    /// Dials until the target has its share.
    fn fill(dials: &mut PendingDials, target: &str, next: &mut i64) -> usize {
        let mut filled = 0;
        while dials.excess(target, 1000).is_none() && dials.len() < 1000 {
            dials.insert(id(*next), target);
            *next += 1;
            filled += 1;
        }
        filled
    }

    /// P5.12.
    #[test]
    fn n6_targets_that_hang_leave_room_for_others() {
        let (mut dials, mut next) = (PendingDials::default(), 0);
        let filled = ["a", "b", "c"].map(|target| fill(&mut dials, target, &mut next));
        assert_eq!(filled, [500, 250, 125]);
        assert_eq!(dials.excess("a", 1000), Some(500));
        assert_eq!(dials.excess("web", 1000), None);
        dials.remove(id(0));
        dials.remove(id(0));
        assert_eq!((dials.len(), dials.excess("a", 1000)), (874, Some(499)));
        (0..next).for_each(|number| dials.remove(id(number)));
        assert!(dials.targets.is_empty() && dials.counts.is_empty());
    }

    /// P5.12.
    #[test]
    fn n6_a_target_may_always_have_some() {
        let mut dials = PendingDials::default();
        (0..16).for_each(|number| dials.insert(id(number), "a"));
        assert_eq!((dials.excess("a", 4), dials.excess("b", 4)), (Some(16), None));
    }
}
