//! What happens when time passes.

use super::{Session, SessionEnd};
use crate::connection::{Linger, Phase, Signal, Standing};
use crate::timers::Timer;
use crate::{ConnectionId, Instant, Role};

impl Session {
    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest, if nothing
    /// else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stall = self.stall_since().map(|since| since + self.config.timing.stall);
        [self.timers.next(), stall].into_iter().flatten().min()
    }

    /// Time has passed. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.at(now);
        // Each timer at most once: with an interval of zero, it is due again at once.
        for _ in 0..self.timers.len() {
            let Some(timer) = self.timers.expire(now) else { break };
            self.on_timer(now, timer);
        }
        if let Some(since) = self.stall_since()
            && since + self.config.timing.stall <= now
        {
            self.end(SessionEnd::Stalled(now - since));
        }
    }

    pub(super) fn start_timers(&mut self) {
        if self.pings() {
            self.timers.arm(Timer::Ping, self.now);
        }
        self.timers.arm(Timer::Silence, self.now + self.config.timing.silence);
        if self.extended() || self.role == Role::Connector {
            self.timers.arm(Timer::Reconcile, self.now + self.config.timing.reconcile);
        }
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Ping => self.on_ping_timer(now),
            Timer::Silence => self.on_silence_timer(now),
            Timer::Reconcile => self.on_reconcile_timer(now),
            Timer::Drain => self.end(SessionEnd::Drained),
            Timer::Probe(id) => self.on_probe_timer(now, id),
            Timer::Dial(id) | Timer::Accept(id) | Timer::Linger(id) => self.on_deadline(id, timer),
            // The stall is computed from the outbox and never armed here.
            Timer::Stall => {}
        }
    }

    /// Whether a connection that lingers has bytes to send, may send them, and waits for its turn on a
    /// transport that moves: on a slow link, or behind many others, for longer than a remote takes to
    /// answer.
    fn waits_for_transport(&self, id: ConnectionId) -> bool {
        let linger = self.config.timing.linger;
        self.outbox.waiting_since().is_some_and(|since| since + linger > self.now)
            && self.table.get(id).is_some_and(|row| {
                matches!(row.phase, Phase::Lingering(Linger::Flush(_)))
                    && row.standing != Standing::Idle
            })
    }

    fn on_deadline(&mut self, id: ConnectionId, timer: Timer) {
        self.table.update(id, |row| row.deadline = None);
        if self.waits_for_transport(id) {
            return self.linger_anew(id);
        }
        let text = match timer {
            Timer::Dial(_) => "no answer in time",
            Timer::Accept(_) => "the target did not answer in time",
            _ => "the connection was not finished in time",
        };
        self.apply(id, Signal::Deadline, text).ok();
    }

    /// Since when something waits for the transport and nothing was taken.
    pub(super) fn stall_since(&self) -> Option<Instant> {
        self.outbox.waiting_since().filter(|_| self.ended.is_none())
    }
}
