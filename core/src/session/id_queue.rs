//! A queue of connections that may leave it from the middle.

use alloc::collections::{BTreeSet, VecDeque};

use crate::ConnectionId;

/// Connection ids in order, each once.
///
/// A connection that ends leaves from the middle, which must not cost a walk through all the
/// others: it is only marked, and the queue is swept when half of it is marked.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct IdQueue {
    queue: VecDeque<ConnectionId>,
    /// Ids of the queue that have left it.
    left: BTreeSet<ConnectionId>,
}

impl IdQueue {
    /// Appends a connection that does not stand in the queue and has never left it early.
    pub(super) fn push(&mut self, id: ConnectionId) {
        debug_assert!(!self.left.contains(&id), "connection {id} comes back");
        self.queue.push_back(id);
    }

    /// Takes out the first connection. Most calls find none, and cost a comparison.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<ConnectionId> {
        if self.queue.is_empty() { None } else { self.pop_queued() }
    }

    fn pop_queued(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.queue.pop_front() {
            if !self.left.remove(&id) {
                shrink_if_empty(&mut self.queue);
                return Some(id);
            }
        }
        None
    }

    /// Takes out a connection that stands in the queue.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.left.insert(id);
        if 2 * self.left.len() > self.queue.len() {
            let left = core::mem::take(&mut self.left);
            self.queue.retain(|id| !left.contains(id));
            shrink_if_empty(&mut self.queue);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.len() == self.left.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.queue.iter().copied().filter(|id| !self.left.contains(id))
    }
}

/// Gives the memory of a burst back once the queue is empty.
pub(super) fn shrink_if_empty<T>(queue: &mut VecDeque<T>) {
    const KEPT: usize = 64;
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn ids(numbers: impl IntoIterator<Item = i64>) -> Vec<ConnectionId> {
        numbers.into_iter().map(ConnectionId::from_wire).collect()
    }

    fn queue(numbers: impl IntoIterator<Item = i64>) -> IdQueue {
        let mut queue = IdQueue::default();
        ids(numbers).into_iter().for_each(|id| queue.push(id));
        queue
    }

    #[test]
    fn ids_that_stay_keep_their_order() {
        let mut queue = queue(0..100);
        for id in ids((0..100).filter(|number| number % 5 != 0).rev()) {
            queue.forget(id);
            assert!(queue.queue.len() <= 100 && 2 * queue.left.len() <= queue.queue.len());
        }
        let stay = ids((0..100).step_by(5));
        assert_eq!(queue.iter().collect::<Vec<_>>(), stay);
        assert_eq!(core::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), stay);
        assert!(queue.is_empty() && queue.queue.capacity() == 0);
    }

    #[test]
    fn a_queue_whose_ids_have_left_is_empty() {
        let mut queue = queue(0..3);
        for id in ids([1, 0]) {
            queue.forget(id);
        }
        assert!(!queue.is_empty());
        queue.forget(ConnectionId::from_wire(2));
        assert!(queue.is_empty());
        assert_eq!(queue.pop(), None);
    }
}
