//! The passing of time.

use core::time::Duration;

use super::row::Row;
use super::{Session, SessionEnd, common::Common};
use crate::connection::{Linger, Phase, Scheduling, SessionSignal};
use crate::timers::Timer;
use crate::wire::Dialect;
use crate::{ConnectionId, Instant, Role};

/// How many pings the remote may miss.
const PINGS: u32 = 3;

/// The shortest interval that a remote can ask for by its Settings: a shorter one would be work at no
/// cost of its own.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest, if nothing else
    /// happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stall = self.stall_since().map(|since| since + self.common.config.timing.stall);
        let deadlines = self.connections.shared().deadlines.next();
        [self.common.timers.next(), deadlines, stall].into_iter().flatten().min()
    }

    /// Time has passed. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.common.at(now);
        // Each timer at most once: with an interval of zero, it is due again at once.
        for _ in 0..self.armed_timers() {
            let Some(timer) = self.expire(now) else { break };
            self.on_timer(now, timer);
        }
        if let Some(since) = self.stall_since()
            && since + self.common.config.timing.stall <= now
        {
            self.end(SessionEnd::Stalled(now - since));
        }
    }

    /// Disarms and returns a timer whose time has come: the soonest, the session's before those of
    /// connections.
    fn expire(&mut self, now: Instant) -> Option<Timer> {
        let first_deadline = self.connections.shared().deadlines.next();
        let due = first_deadline.map_or(now, |at| at.min(now));
        self.common.timers.expire(due).or_else(|| self.connections.expire(now))
    }

    /// Timers that are armed, the stall apart.
    pub(super) fn armed_timers(&self) -> usize {
        self.common.timers.len() + self.connections.shared().deadlines.len()
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Ping => self.on_ping_timer(now),
            Timer::Silence => self.on_silence_timer(now),
            Timer::Reconcile => self.on_reconcile_timer(now),
            Timer::Drain => self.end(SessionEnd::Drained),
            Timer::Probe(id) => self.on_deadline(id, |row| row.on_probe_timer()),
            Timer::Dial(id) => self.on_deadline(id, |row| {
                row.on_session(SessionSignal::Deadline, "no answer in time");
            }),
            Timer::Accept(id) => self.on_deadline(id, |row| {
                row.on_session(SessionSignal::Deadline, "the target did not answer in time");
            }),
            Timer::Linger(id) => self.on_linger_timer(id),
            // The stall is computed from the queues and never armed.
            Timer::Stall => {}
        }
    }

    fn on_linger_timer(&mut self, id: ConnectionId) {
        let linger = self.common.config.timing.linger;
        let now = self.common.now;
        let moves = self.waiting_since().is_some_and(|since| since + linger > now);
        self.on_deadline(id, |row| {
            if moves && row.waits_for_transport() {
                row.linger_anew();
            } else {
                let text = "the connection was not finished in time";
                row.on_session(SessionSignal::Deadline, text);
            }
        });
    }

    /// The deadline of a connection has passed, and is disarmed.
    fn on_deadline(&mut self, id: ConnectionId, act: impl FnOnce(&mut Row<'_>)) {
        self.connections.with(id, &mut self.common, |row| {
            row.deadline = None;
            act(row);
        });
    }

    /// Since when something waits for the transport, and the transport took nothing.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let (control, connections) =
            (self.common.outbox.waiting_since(), self.connections.waiting_since());
        [control, connections].into_iter().flatten().min()
    }

    /// Whether something waits for the transport.
    pub(super) fn waits_for_transport(&self) -> bool {
        self.waiting_since().is_some()
    }

    /// As [`waiting_since`](Self::waiting_since), in a session that has not ended.
    pub(super) fn stall_since(&self) -> Option<Instant> {
        self.waiting_since().filter(|_| self.common.ended.is_none())
    }
}

impl Common {
    /// Whether this end pings by itself: in the base dialect only the connector does. An acceptor
    /// pings there to learn how old a reconciliation list is.
    pub(super) fn pings(&self) -> bool {
        self.dialect == Dialect::Extended || self.role == Role::Connector
    }

    /// The own interval, or a shorter one for a remote that is less patient.
    pub(super) fn ping_interval(&self) -> Duration {
        let own = self.config.timing.ping_interval;
        match self.remote.map_or(0, |settings| settings.silence) {
            0 => own,
            silence => own.min((Duration::from_millis(silence) / PINGS).max(LEAST_INTERVAL)),
        }
    }

    pub(super) fn start_timers(&mut self) {
        if self.pings() {
            self.timers.arm(Timer::Ping, self.now);
        }
        self.timers.arm(Timer::Silence, self.now + self.config.timing.silence);
        if self.dialect == Dialect::Extended || self.role == Role::Connector {
            self.timers.arm(Timer::Reconcile, self.now + self.config.timing.reconcile);
        }
    }
}

impl Row<'_> {
    /// Whether the connection lingers only because its bytes wait their turn: on a slow link, or
    /// behind many others, that takes longer than a remote takes to answer.
    fn waits_for_transport(&self) -> bool {
        matches!(self.phase, Phase::Lingering(Linger::Flush(_)))
            && self.scheduling != Scheduling::Idle
    }
}
