//! Pending dials by target: a target that does not answer leaves space for the others.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound;

use crate::ConnectionId;

/// Pending dials that every target may have, however many others have.
const LEAST_SHARE: usize = 16;

/// The pending dials of one end.
///
/// A target may have as many of them as the limit still leaves free (a dynamic threshold, Choudhury
/// and Hahne 1998): a target that hangs takes half of the limit at most, the next one a quarter, and
/// each leaves space for targets that answer.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
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
    }

    /// The dial was answered, or ended. Removing it twice does no harm.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(target) = self.targets.remove(&id) else { return };
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

    #[test]
    fn n6_a_target_may_always_have_some() {
        let mut dials = PendingDials::default();
        (0..16).for_each(|number| dials.insert(id(number), "a"));
        assert_eq!((dials.excess("a", 4), dials.excess("b", 4)), (Some(16), None));
    }
}
