//! Named deadlines, soonest first.

use alloc::collections::{BTreeMap, BTreeSet};

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

/// The armed timers: each at most once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    armed: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Arms `timer`, moving it if it was armed.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        self.disarm(timer);
        self.armed.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(crate) fn disarm(&mut self, timer: Timer) {
        if let Some(at) = self.armed.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.armed.contains_key(&timer)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Disarms and returns a timer whose time has come.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.disarm(timer);
        Some(timer)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.armed.len()
    }

    /// How many timers belong to connections.
    pub(crate) fn of_connections(&self) -> usize {
        let of_connection = |timer: &Timer| {
            matches!(timer, Timer::Dial(_) | Timer::Accept(_) | Timer::Probe(_) | Timer::Linger(_))
        };
        self.armed.keys().filter(|timer| of_connection(timer)).count()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        self.by_time.iter().map(|&(at, timer)| (timer, at))
    }
}
