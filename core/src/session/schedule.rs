//! Whose bytes are sent next.

use super::turns::Turns;
use crate::ConnectionId;
use crate::connection::Standing;

/// The least that a message counts against the turn of those that wait, as a part of a full one:
/// small ones cost more than their bytes.
const LEAST: usize = 64;

/// A turn of one that waits for it again, in full messages. Many of them in a row become few
/// system calls at the other end, and more of them keep the others waiting.
const TURN: usize = 4;

/// Connections with something to send, each once.
///
/// Those that had nothing to send go first, with a message and a short rest: a request does not
/// wait behind the downloads beside it. What they send before one that waits has its turn is
/// bounded by a turn, so that nobody starves.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Schedule {
    fresh: Turns,
    waiting: Turns,
    turn: Option<ConnectionId>,
    /// Bytes that are left of the turn.
    left: usize,
    /// Whether it is the turn of a fresh one.
    is_fresh: bool,
    /// Bytes that fresh ones have sent since one that waits had its turn.
    ahead: usize,
    /// What each of their messages counts at least.
    least: usize,
}

impl Schedule {
    /// Appends a connection that had nothing to send.
    pub(super) fn push(&mut self, id: ConnectionId) {
        self.fresh.push(id);
    }

    /// Takes out the one that sends the next message, of at most `max` bytes.
    pub(super) fn next(&mut self, max: usize) -> Option<ConnectionId> {
        self.least = max / LEAST;
        if let Some(id) = self.turn.take() {
            return Some(id);
        }
        let may_go_first = self.waiting.is_empty() || self.ahead < TURN.saturating_mul(max);
        if let Some(id) = may_go_first.then(|| self.fresh.pop()).flatten() {
            self.is_fresh = true;
            // Most of what is written is a little more than a power of two.
            self.left = max.saturating_add(max / 4);
            return Some(id);
        }
        (self.ahead, self.left, self.is_fresh) = (0, 0, false);
        let id = self.waiting.pop()?;
        self.left = TURN.saturating_mul(max);
        Some(id)
    }

    /// The one whose turn it is has sent a message of `sent` bytes, and has one of `more` bytes to
    /// send. Where it stands now.
    pub(super) fn goes_on(&mut self, id: ConnectionId, sent: usize, more: usize) -> Standing {
        let left = self.left.saturating_sub(sent);
        if more <= left {
            self.account(sent);
            self.left = left;
            self.turn = Some(id);
            return Standing::Turn;
        }
        self.ends(sent);
        self.waiting.push(id);
        Standing::Waiting
    }

    /// The one whose turn it was has sent a message of `sent` bytes, its last for now.
    pub(super) fn ends(&mut self, sent: usize) {
        self.account(sent);
        (self.left, self.is_fresh) = (0, false);
    }

    fn account(&mut self, sent: usize) {
        if self.is_fresh && !self.waiting.is_empty() {
            self.ahead = self.ahead.saturating_add(sent.max(self.least));
        }
    }

    /// Takes out a connection that stands where it says.
    pub(super) fn forget(&mut self, id: ConnectionId, standing: Standing) {
        match standing {
            Standing::Idle => {}
            Standing::Fresh => self.fresh.forget(id),
            Standing::Waiting => self.waiting.forget(id),
            Standing::Turn => self.turn = None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turn.is_none() && self.fresh.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, Standing)> + '_ {
        let turn = self.turn.into_iter().map(|id| (id, Standing::Turn));
        let fresh = self.fresh.iter().map(|id| (id, Standing::Fresh));
        turn.chain(fresh).chain(self.waiting.iter().map(|id| (id, Standing::Waiting)))
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

    /// Sends so many messages; each connection has what `rest` says.
    fn send(schedule: &mut Schedule, rest: &mut [usize], messages: usize) -> Vec<usize> {
        let mut order = Vec::new();
        for _ in 0..messages {
            let Some(next) = schedule.next(MAX) else { break };
            let number = usize::try_from(next.get()).unwrap();
            let sent = rest[number].min(MAX);
            rest[number] -= sent;
            match rest[number].min(MAX) {
                0 => schedule.ends(sent),
                more => drop(schedule.goes_on(next, sent, more)),
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
    fn long_ones_take_turns_of_several_messages() {
        let mut schedule = schedule(0..2);
        let order = send(&mut schedule, &mut [1000, 1000], 12);
        assert_eq!(order, [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn a_short_rest_belongs_to_the_turn_and_a_longer_one_does_not() {
        let mut schedule = schedule(0..3);
        let order = send(&mut schedule, &mut [125, 126, 10], 10);
        assert_eq!(order, [0, 0, 1, 2, 1]);
        assert!(schedule.is_empty() && schedule.left == 0 && schedule.ahead == 0);
    }

    #[test]
    fn what_comes_new_does_not_wait_for_the_others_turn_and_does_not_starve_them() {
        let mut schedule = schedule(0..1);
        let mut rest = [100_000, 100, 100, 100, 100, 100, 100, 100, 100, 100];
        assert_eq!(send(&mut schedule, &mut rest, 5), [0; 5]);
        (1..10).for_each(|number| schedule.push(id(number)));
        let order = send(&mut schedule, &mut rest, 15);
        assert_eq!(order, [1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8, 0, 0, 0]);
    }

    #[test]
    fn many_small_ones_do_not_keep_the_others_waiting_for_long() {
        let max = 64 * 100;
        let mut schedule = schedule(0..1000);
        assert_eq!(schedule.next(max), Some(id(0)));
        assert_eq!(schedule.goes_on(id(0), max, max), Standing::Waiting);
        let mut small = 0;
        while schedule.next(max) != Some(id(0)) {
            schedule.ends(1);
            small += 1;
        }
        assert_eq!(small, 4 * 64);
    }

    #[test]
    fn those_that_leave_are_gone_wherever_they_stood() {
        let mut schedule = schedule(0..4);
        assert_eq!(schedule.next(MAX), Some(id(0)));
        assert_eq!(schedule.goes_on(id(0), MAX, MAX), Standing::Waiting);
        assert_eq!(schedule.next(MAX), Some(id(1)));
        assert_eq!(schedule.goes_on(id(1), MAX, 1), Standing::Turn);
        let stand = [Standing::Turn, Standing::Fresh, Standing::Fresh, Standing::Waiting];
        let ids = [1, 2, 3, 0].map(id).into_iter();
        assert!(schedule.iter().eq(ids.zip(stand)));
        schedule.forget(id(0), Standing::Waiting);
        schedule.forget(id(1), Standing::Turn);
        schedule.forget(id(2), Standing::Fresh);
        schedule.forget(id(9), Standing::Idle);
        assert!(schedule.iter().eq([(id(3), Standing::Fresh)]));
        assert_eq!(schedule.next(MAX), Some(id(3)));
        assert!(schedule.is_empty());
    }
}
