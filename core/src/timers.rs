//! Named deadlines, soonest first.

use alloc::collections::BTreeSet;

use crate::{ConnectionId, Instant};

/// What a deadline is for. The name tells which one is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next ping is due.
    Ping,
    /// The other end has been silent for too long.
    Silence,
    /// The transport takes nothing of what is queued.
    Stall,
    /// The next reconciliation list is due.
    Reconcile,
    /// The time to drain is over.
    Drain,
    /// The other end has not answered our dial.
    Dial(ConnectionId),
    /// The application has not answered the other end's dial.
    Accept(ConnectionId),
    /// A connection that a remotedialer end has paused looks whether it may go on.
    Probe(ConnectionId),
    /// A half-closed or abandoned connection has not come to its end.
    Linger(ConnectionId),
}

/// A deadline of a connection. The connection keeps it, to take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) timer: Timer,
}

/// The timers that a session has but once, in the order in which they come when they are due together,
/// before those of connections.
const OF_SESSION: [Timer; 4] = [Timer::Ping, Timer::Silence, Timer::Reconcile, Timer::Drain];

/// The armed timers. A session without connections has no others than its own, which take no heap.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Timers {
    /// By their places in [`OF_SESSION`].
    of_session: [Option<Instant>; OF_SESSION.len()],
    of_connections: BTreeSet<Deadline>,
}

impl Timers {
    /// Arms a timer of the session, moving it if it was armed.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        let place = OF_SESSION.iter().position(|of| *of == timer);
        debug_assert!(place.is_some(), "{timer:?} is no timer of a session");
        if let Some(armed) = place.and_then(|place| self.of_session.get_mut(place)) {
            *armed = Some(at);
        }
    }

    /// Moves a timer of the session that is armed for later.
    pub(crate) fn arm_sooner(&mut self, timer: Timer, at: Instant) {
        let place = OF_SESSION.iter().position(|of| *of == timer);
        if let Some(Some(armed)) = place.and_then(|place| self.of_session.get_mut(place)) {
            *armed = at.min(*armed);
        }
    }

    /// Arms the deadline of a connection, which has no other one.
    pub(crate) fn insert(&mut self, deadline: Deadline) {
        self.of_connections.insert(deadline);
    }

    /// Takes back the deadline of a connection.
    pub(crate) fn remove(&mut self, deadline: Deadline) {
        self.of_connections.remove(&deadline);
    }

    pub(crate) fn contains(&self, deadline: Deadline) -> bool {
        self.of_connections.contains(&deadline)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        let of_session = self.of_session.iter().copied().flatten().min();
        let of_connections = self.of_connections.first().map(|deadline| deadline.at);
        [of_session, of_connections].into_iter().flatten().min()
    }

    /// Disarms and returns a timer whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next().filter(|next| *next <= now)?;
        if let Some(place) = self.of_session.iter().position(|at| *at == Some(next)) {
            *self.of_session.get_mut(place)? = None;
            return OF_SESSION.get(place).copied();
        }
        self.of_connections.pop_first().map(|deadline| deadline.timer)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.of_session.iter().flatten().count() + self.of_connections.len()
    }

    /// How many timers belong to connections.
    pub(crate) fn of_connections(&self) -> usize {
        self.of_connections.len()
    }

    /// Those of the session, then those of connections, the soonest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        let of_session = OF_SESSION.into_iter().zip(self.of_session);
        let of_session = of_session.filter_map(|(timer, at)| Some((timer, at?)));
        let of_connections =
            self.of_connections.iter().map(|deadline| (deadline.timer, deadline.at));
        of_session.chain(of_connections)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::time::Duration;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    fn dial(number: i64, millis: u64) -> Deadline {
        Deadline { at: at(millis), timer: Timer::Dial(ConnectionId::from_wire(number)) }
    }

    fn expire_all(timers: &mut Timers, now: Instant) -> Vec<Timer> {
        core::iter::from_fn(|| timers.expire(now)).collect()
    }

    #[test]
    fn the_soonest_comes_first_and_those_of_the_session_before_others() {
        let mut timers = Timers::default();
        let (early, late) = (dial(1, 10), dial(2, 20));
        timers.insert(late);
        timers.insert(early);
        timers.arm(Timer::Drain, at(20));
        timers.arm(Timer::Ping, at(20));
        timers.arm(Timer::Silence, at(30));
        assert_eq!((timers.next(), timers.len()), (Some(at(10)), 5));
        assert_eq!(timers.expire(at(9)), None);
        let due = expire_all(&mut timers, at(20));
        assert_eq!(due, [early.timer, Timer::Ping, Timer::Drain, late.timer]);
        assert_eq!(timers.iter().collect::<Vec<_>>(), [(Timer::Silence, at(30))]);
        timers.clear();
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }

    #[test]
    fn what_is_armed_again_has_moved_and_what_was_taken_back_never_comes() {
        let mut timers = Timers::default();
        timers.arm(Timer::Reconcile, at(10));
        timers.arm(Timer::Reconcile, at(30));
        let (kept, gone) = (dial(1, 10), dial(2, 10));
        timers.insert(kept);
        timers.insert(gone);
        timers.remove(gone);
        assert!(timers.contains(kept) && !timers.contains(gone));
        assert_eq!((timers.len(), timers.of_connections()), (2, 1));
        assert_eq!(expire_all(&mut timers, at(29)), [kept.timer]);
        assert_eq!(timers.next(), Some(at(30)));
    }
}
