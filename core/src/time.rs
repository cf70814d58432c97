//! Points in time, as values, and named timers, soonest first.

use alloc::collections::BTreeSet;
use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use crate::ConnectionId;

/// A point in time, as nanoseconds since an epoch that the caller chooses once.
///
/// The core never reads a clock: every input carries the time at which it happened. 64 bits of
/// nanoseconds last for 584 years; sums and differences saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The caller's epoch.
    pub const EPOCH: Self = Self(0);

    /// The point `since_epoch` after the caller's epoch.
    #[must_use]
    pub fn from_epoch(since_epoch: Duration) -> Self {
        Self(nanos(since_epoch))
    }

    /// How long after the caller's epoch this is.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// How long after `earlier` this is; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.since_epoch())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The purpose of a timer, by which a log identifies a stuck one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next ping is due.
    Ping,
    /// The remote has been silent for too long.
    Silence,
    /// The transport takes nothing of what is queued.
    Stall,
    /// The next reconciliation list is due.
    Reconcile,
    /// The time to drain is over.
    Drain,
    /// The remote has not answered a dial of this end.
    Dial(ConnectionId),
    /// The application has not answered a dial of the remote.
    Accept(ConnectionId),
    /// A connection that a remotedialer end has paused sends a window probe.
    Probe(ConnectionId),
    /// A half-closed or released connection has not ended in time.
    Linger(ConnectionId),
}

/// The timer of a connection, and when it is due. The connection keeps it, to disarm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) timer: Timer,
}

/// The timers that a session has but once, in the order in which they fire when they are due
/// together.
const OF_SESSION: [Timer; 4] = [Timer::Ping, Timer::Silence, Timer::Reconcile, Timer::Drain];

/// The armed timers of a session itself. They take no heap.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct SessionTimers {
    /// In the order of [`OF_SESSION`].
    armed: [Option<Instant>; OF_SESSION.len()],
}

impl SessionTimers {
    /// Arms a timer, moving it if it was armed.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        if let Some(armed) = self.armed(timer) {
            *armed = Some(at);
        }
    }

    /// Moves a timer that is armed for later.
    pub(crate) fn arm_sooner(&mut self, timer: Timer, at: Instant) {
        if let Some(Some(armed)) = self.armed(timer) {
            *armed = at.min(*armed);
        }
    }

    fn armed(&mut self, timer: Timer) -> Option<&mut Option<Instant>> {
        let index = OF_SESSION.iter().position(|of| *of == timer);
        debug_assert!(index.is_some(), "{timer:?} is no timer of a session");
        self.armed.get_mut(index?)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.armed.iter().copied().flatten().min()
    }

    /// Disarms and returns the first timer that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next().filter(|next| *next <= now)?;
        let index = self.armed.iter().position(|at| *at == Some(next))?;
        *self.armed.get_mut(index)? = None;
        OF_SESSION.get(index).copied()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.armed.iter().flatten().count()
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        OF_SESSION.into_iter().zip(self.armed).filter_map(|(timer, at)| Some((timer, at?)))
    }
}

/// The armed timers of connections, each of which has at most one.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Deadlines(BTreeSet<Deadline>);

impl Deadlines {
    pub(crate) fn insert(&mut self, deadline: Deadline) {
        let is_new = self.0.insert(deadline);
        debug_assert!(is_new, "{deadline:?} is armed twice");
    }

    pub(crate) fn remove(&mut self, deadline: Deadline) {
        let was_armed = self.0.remove(&deadline);
        debug_assert!(was_armed, "{deadline:?} is not armed");
    }

    #[cfg(feature = "testkit")]
    pub(crate) fn contains(&self, deadline: Deadline) -> bool {
        self.0.contains(&deadline)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|deadline| deadline.at)
    }

    /// Disarms and returns the first timer that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        self.next().filter(|next| *next <= now)?;
        self.0.pop_first().map(|deadline| deadline.timer)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The soonest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        self.0.iter().map(|deadline| (deadline.timer, deadline.at))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    fn dial(number: i64, millis: u64) -> Deadline {
        Deadline { at: at(millis), timer: Timer::Dial(ConnectionId::from_wire(number)) }
    }

    #[test]
    fn the_timers_of_a_session_fire_in_order_and_a_timer_armed_again_has_moved() {
        let mut timers = SessionTimers::default();
        timers.arm(Timer::Drain, at(20));
        timers.arm(Timer::Ping, at(20));
        timers.arm(Timer::Silence, at(30));
        timers.arm(Timer::Reconcile, at(10));
        timers.arm(Timer::Reconcile, at(40));
        timers.arm_sooner(Timer::Reconcile, at(35));
        timers.arm_sooner(Timer::Reconcile, at(36));
        assert_eq!((timers.next(), timers.len()), (Some(at(20)), 4));
        assert_eq!(timers.expire(at(19)), None);
        let due: Vec<_> = core::iter::from_fn(|| timers.expire(at(20))).collect();
        assert_eq!(due, [Timer::Ping, Timer::Drain]);
        let left = [(Timer::Silence, at(30)), (Timer::Reconcile, at(35))];
        assert_eq!(timers.iter().collect::<Vec<_>>(), left);
        timers.clear();
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }

    #[test]
    fn the_soonest_deadline_fires_first_and_a_removed_one_never() {
        let mut deadlines = Deadlines::default();
        let (late, early, removed) = (dial(2, 20), dial(1, 10), dial(3, 5));
        [late, early, removed].into_iter().for_each(|deadline| deadlines.insert(deadline));
        deadlines.remove(removed);
        assert!(deadlines.contains(early) && !deadlines.contains(removed));
        assert_eq!((deadlines.next(), deadlines.len()), (Some(at(10)), 2));
        assert_eq!((deadlines.expire(at(9)), deadlines.expire(at(19))), (None, Some(early.timer)));
        assert_eq!(deadlines.expire(at(19)), None);
        assert_eq!(deadlines.iter().collect::<Vec<_>>(), [(late.timer, at(20))]);
    }
}
