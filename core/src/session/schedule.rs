//! The order in which connections are served: queues of ids, and the schedule of senders.

use alloc::collections::{BTreeSet, VecDeque};

use crate::ConnectionId;
use crate::connection::Scheduling;

/// The least that a message of a new flow counts, as a part of a full one: small messages cost more
/// than their bytes.
const LEAST: usize = 64;

/// The quantum of an old flow, in full messages. Many of them in a row become few system calls at
/// the remote, and more of them delay the other connections.
const QUANTUM: usize = 4;

/// Connections with something to send, each once.
///
/// Deficit round robin with a list of new flows (FQ-CoDel, RFC 8290 section 4). A connection that
/// becomes ready is served before backlogged ones, for one message and a short rest of it. New flows
/// together send no more than a quantum before an old one is served, so that nothing starves.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Schedule {
    new_flows: IdQueue,
    old_flows: IdQueue,
    current: Option<ConnectionId>,
    /// Bytes that the current flow may still send.
    deficit: usize,
    current_is_new: bool,
    /// Bytes that new flows have sent since an old one was served.
    sent_by_new: usize,
    /// What each of their messages counts at least.
    least: usize,
}

impl Schedule {
    /// Appends a connection that had nothing to send.
    pub(super) fn push(&mut self, id: ConnectionId) {
        self.new_flows.push(id);
    }

    /// Takes out the connection that sends the next message, of at most `max` bytes.
    pub(super) fn next(&mut self, max: usize) -> Option<ConnectionId> {
        self.least = max / LEAST;
        if let Some(id) = self.current.take() {
            return Some(id);
        }
        let new_first = self.old_flows.is_empty() || self.sent_by_new < QUANTUM.saturating_mul(max);
        if let Some(id) = new_first.then(|| self.new_flows.pop()).flatten() {
            self.current_is_new = true;
            // Most writes are a little longer than a power of two.
            self.deficit = max.saturating_add(max / 4);
            return Some(id);
        }
        (self.sent_by_new, self.deficit, self.current_is_new) = (0, 0, false);
        let id = self.old_flows.pop()?;
        self.deficit = QUANTUM.saturating_mul(max);
        Some(id)
    }

    /// The connection that was taken out has sent `sent` bytes, and its next message has `more`.
    pub(super) fn put_back(&mut self, id: ConnectionId, sent: usize, more: usize) -> Scheduling {
        debug_assert!(self.current.is_none(), "two connections send at a time");
        let deficit = self.deficit.saturating_sub(sent);
        if more <= deficit {
            self.account(sent);
            self.deficit = deficit;
            self.current = Some(id);
            return Scheduling::Current;
        }
        self.finish(sent);
        self.old_flows.push(id);
        Scheduling::Old
    }

    /// The connection that was taken out has sent `sent` bytes, and has no more.
    pub(super) fn finish(&mut self, sent: usize) {
        self.account(sent);
        self.pass();
    }

    /// The connection that was taken out has nothing to send. The rest of its turn is not kept:
    /// equal states are equal.
    pub(super) fn pass(&mut self) {
        debug_assert!(self.current.is_none(), "the current connection is still in the schedule");
        (self.deficit, self.current_is_new) = (0, false);
    }

    fn account(&mut self, sent: usize) {
        if self.current_is_new && !self.old_flows.is_empty() {
            self.sent_by_new = self.sent_by_new.saturating_add(sent.max(self.least));
        }
    }

    /// Removes a connection from the list that `scheduling` names.
    pub(super) fn forget(&mut self, id: ConnectionId, scheduling: Scheduling) {
        match scheduling {
            Scheduling::Idle => {}
            Scheduling::New => self.new_flows.forget(id),
            Scheduling::Old => self.old_flows.forget(id),
            Scheduling::Current => {
                debug_assert_eq!(self.current, Some(id), "another connection is the current one");
                self.current = None;
                self.pass();
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.new_flows.is_empty() && self.old_flows.is_empty()
    }

    #[cfg(feature = "testkit")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, Scheduling)> + '_ {
        let current = self.current.into_iter().map(|id| (id, Scheduling::Current));
        let new = self.new_flows.iter().map(|id| (id, Scheduling::New));
        let old = self.old_flows.iter().map(|id| (id, Scheduling::Old));
        current.chain(new).chain(old)
    }
}

/// Connection ids in order, each once.
///
/// A connection that ends leaves from the middle, which must not cost a walk through all the
/// others: it is only marked, and the queue is swept when half of it is marked.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
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
        debug_assert!(self.left.is_empty(), "ids have left a queue that did not have them");
        None
    }

    /// Takes out a connection that stands in the queue.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.left.insert(id);
        debug_assert!(self.left.len() <= self.queue.len(), "{id} is not in the queue");
        if 2 * self.left.len() > self.queue.len() {
            let left = core::mem::take(&mut self.left);
            self.queue.retain(|id| !left.contains(id));
            shrink_if_empty(&mut self.queue);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.len() == self.left.len()
    }

    #[cfg(feature = "testkit")]
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

    const MAX: usize = 100;

    fn id(number: i64) -> ConnectionId {
        ConnectionId::from_wire(number)
    }

    /// Sends so many messages; `rest` has the bytes of each connection.
    fn send(schedule: &mut Schedule, rest: &mut [usize], messages: usize) -> Vec<usize> {
        let mut order = Vec::new();
        for _ in 0..messages {
            let Some(next) = schedule.next(MAX) else { break };
            let number = usize::try_from(next.get()).unwrap();
            let sent = rest[number].min(MAX);
            rest[number] -= sent;
            match rest[number].min(MAX) {
                0 => schedule.finish(sent),
                more => drop(schedule.put_back(next, sent, more)),
            }
            order.push(number);
        }
        order
    }

    fn schedule(numbers: impl IntoIterator<Item = i64>) -> Schedule {
        let mut schedule = Schedule::default();
        numbers.into_iter().for_each(|number| schedule.push(id(number)));
        schedule
    }

    #[test]
    fn backlogged_connections_send_a_quantum_each_in_turn() {
        let mut schedule = schedule(0..2);
        let order = send(&mut schedule, &mut [1000, 1000], 12);
        assert_eq!(order, [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_short_rest_of_a_new_flow_is_sent_at_once_and_a_longer_one_is_not() {
        let mut schedule = schedule(0..3);
        let order = send(&mut schedule, &mut [125, 126, 10], 10);
        assert_eq!(order, [0, 0, 1, 2, 1]);
        assert!(schedule.is_empty() && schedule.deficit == 0 && schedule.sent_by_new == 0);
    }

    #[test]
    fn new_flows_are_served_first_and_do_not_starve_old_ones() {
        let mut schedule = schedule(0..1);
        let mut rest = [100_000, 100, 100, 100, 100, 100, 100, 100, 100, 100];
        assert_eq!(send(&mut schedule, &mut rest, 5), [0; 5]);
        (1..10).for_each(|number| schedule.push(id(number)));
        let order = send(&mut schedule, &mut rest, 15);
        assert_eq!(order, [1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8, 0, 0, 0]);
    }

    #[test]
    fn many_small_messages_delay_old_flows_by_a_quantum_only() {
        let max = 64 * 100;
        let mut schedule = schedule(0..1000);
        assert_eq!(schedule.next(max), Some(id(0)));
        assert_eq!(schedule.put_back(id(0), max, max), Scheduling::Old);
        let mut small = 0;
        while schedule.next(max) != Some(id(0)) {
            schedule.finish(1);
            small += 1;
        }
        assert_eq!(small, 4 * 64);
    }

    #[test]
    fn connections_leave_from_every_list() {
        let mut schedule = schedule(0..4);
        assert_eq!(schedule.next(MAX), Some(id(0)));
        assert_eq!(schedule.put_back(id(0), MAX, MAX), Scheduling::Old);
        assert_eq!(schedule.next(MAX), Some(id(1)));
        assert_eq!(schedule.put_back(id(1), MAX, 1), Scheduling::Current);
        let stand = [Scheduling::Current, Scheduling::New, Scheduling::New, Scheduling::Old];
        let ids = [1, 2, 3, 0].map(id).into_iter();
        assert!(schedule.iter().eq(ids.zip(stand)));
        schedule.forget(id(0), Scheduling::Old);
        schedule.forget(id(1), Scheduling::Current);
        schedule.forget(id(2), Scheduling::New);
        schedule.forget(id(9), Scheduling::Idle);
        assert!(schedule.iter().eq([(id(3), Scheduling::New)]));
        assert_eq!(schedule.next(MAX), Some(id(3)));
        assert!(schedule.is_empty());
    }

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
