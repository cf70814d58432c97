//! Connections that wait for their turn.

use alloc::collections::{BTreeSet, VecDeque};

use crate::ConnectionId;

/// Connections in turn, each once.
///
/// One that ends leaves before its turn, which must not cost a walk through all the others: it is
/// only noted, and the queue is swept when half of it is gone.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Turns {
    queue: VecDeque<ConnectionId>,
    /// Those of the queue that have left it.
    gone: BTreeSet<ConnectionId>,
}

impl Turns {
    /// Appends a connection that does not stand in the queue and has never left it early.
    pub(super) fn push(&mut self, id: ConnectionId) {
        debug_assert!(!self.gone.contains(&id), "connection {id} comes back");
        self.queue.push_back(id);
    }

    pub(super) fn pop(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.queue.pop_front() {
            if !self.gone.remove(&id) {
                give_back(&mut self.queue);
                return Some(id);
            }
        }
        None
    }

    /// Takes out a connection that stands in the queue.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.gone.insert(id);
        if 2 * self.gone.len() > self.queue.len() {
            let gone = core::mem::take(&mut self.gone);
            self.queue.retain(|id| !gone.contains(id));
            give_back(&mut self.queue);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.len() == self.gone.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.queue.iter().copied().filter(|id| !self.gone.contains(id))
    }
}

/// An empty queue keeps no capacity of a burst.
pub(super) fn give_back<T>(queue: &mut VecDeque<T>) {
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

    fn turns(numbers: impl IntoIterator<Item = i64>) -> Turns {
        let mut turns = Turns::default();
        ids(numbers).into_iter().for_each(|id| turns.push(id));
        turns
    }

    #[test]
    fn those_that_stay_keep_their_order() {
        let mut turns = turns(0..100);
        for id in ids((0..100).filter(|number| number % 5 != 0).rev()) {
            turns.forget(id);
            assert!(turns.queue.len() <= 100 && 2 * turns.gone.len() <= turns.queue.len());
        }
        let stay = ids((0..100).step_by(5));
        assert_eq!(turns.iter().collect::<Vec<_>>(), stay);
        assert_eq!(core::iter::from_fn(|| turns.pop()).collect::<Vec<_>>(), stay);
        assert!(turns.is_empty() && turns.queue.capacity() == 0);
    }

    #[test]
    fn a_queue_of_those_that_left_is_empty() {
        let mut turns = turns(0..3);
        for id in ids([1, 0]) {
            turns.forget(id);
        }
        assert!(!turns.is_empty());
        turns.forget(ConnectionId::from_wire(2));
        assert!(turns.is_empty());
        assert_eq!(turns.pop(), None);
    }
}
