//! The passing of time: timeouts of connections, keepalive, and reconciliation lists.

use alloc::vec::Vec;

use super::connections::Row;
use super::{Session, SessionEnd};
use crate::connection::{Linger, Phase, Scheduling, SessionSignal};
use crate::time::Timer;
use crate::wire::{Body, Dialect};
use crate::{ConnectionId, Instant};

/// A request for a sign of life: see [`Session::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    ping: u64,
    at: Instant,
}

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
        // The stall is computed from the queues and never armed.
        debug_assert_ne!(timer, Timer::Stall, "the stall is armed");
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

impl Row<'_> {
    /// Whether the connection lingers only because its bytes wait their turn: on a slow link, or
    /// behind many others, that takes longer than a remote takes to answer.
    fn waits_for_transport(&self) -> bool {
        matches!(self.phase, Phase::Lingering(Linger::Flush(_)))
            && self.scheduling != Scheduling::Idle
    }
}

/// Keepalive: signs of life of the remote.
impl Session {
    /// The transport's own ping arrived (WebSocket, RFC 6455 section 5.5.2), and the transport
    /// answers it.
    pub fn handle_transport_ping(&mut self, now: Instant) {
        let now = self.common.at(now);
        self.common.keepalive.heard(now);
    }

    /// The transport's own pong arrived.
    pub fn handle_transport_pong(&mut self, now: Instant, payload: &[u8]) {
        let now = self.common.at(now);
        self.common.keepalive.heard(now);
        if self.common.dialect == Dialect::Base {
            self.common.keepalive.pong(now, payload);
        }
    }

    /// A part of a message has arrived: a long one takes its time on a slow link. `at` is when it
    /// did, now or before.
    pub fn handle_transport_received(&mut self, at: Instant) {
        self.common.keepalive.heard(at);
    }

    /// The remote's side of the transport has taken a part of what [`poll_transmit`] returned, and
    /// the rest of it waits. A transport whose queue moves is not stalled, though it takes nothing
    /// new; and a ping that waits in the queue cannot have been answered. `at` is when it was taken,
    /// now or before.
    ///
    /// [`poll_transmit`]: Self::poll_transmit
    pub fn handle_transport_sent(&mut self, at: Instant) {
        self.common.keepalive.taken(at);
        self.common.outbox.moved(at);
        self.connections.moved(at);
    }

    /// Asks the remote for a sign of life now, even if the dialect leaves the pings to the remote. A session
    /// that has ended sends nothing, and gets no answer.
    pub fn probe(&mut self, now: Instant) -> Probe {
        let at = self.common.at(now);
        if self.common.ended.is_none() {
            self.common.outbox.set_ping(at);
        }
        Probe { ping: self.common.keepalive.next_ping(), at }
    }

    /// Whether the remote has given a sign of life since the probe.
    #[must_use]
    pub fn has_answered(&self, probe: Probe) -> bool {
        let keepalive = &self.common.keepalive;
        keepalive.answered() >= probe.ping || keepalive.last_heard() > probe.at
    }

    pub(super) fn on_ping_timer(&mut self, now: Instant) {
        self.common.outbox.set_ping(now);
        let next = now + self.common.ping_interval();
        self.common.timers.arm(Timer::Ping, next);
    }

    /// The remote may have been silent for too long. Messages do not move the timer; it compares
    /// with the time of the last one.
    pub(super) fn on_silence_timer(&mut self, now: Instant) {
        let keepalive = &self.common.keepalive;
        let until = keepalive.silent_since() + self.common.config.timing.silence;
        if until <= now {
            self.end(SessionEnd::Silent(now - keepalive.last_heard()));
        } else {
            self.common.timers.arm(Timer::Silence, until);
        }
    }
}

/// Reconciliation: each end lists its connections, and a connection of one end alone is closed.
///
/// On an ordered, reliable transport between two correct ends it never finds anything; it is the
/// net under an incorrect one.
impl Session {
    pub(super) fn on_reconcile_timer(&mut self, now: Instant) {
        // An end that has lost everything must send a list, too; an end that never had a connection
        // need not.
        if self.connections.added() > 0 {
            self.common.outbox.set_list(now);
        }
        let next = now + self.common.config.timing.reconcile;
        self.common.timers.arm(Timer::Reconcile, next);
    }

    /// The list of this end's connections.
    pub(super) fn list(&mut self) -> Body {
        let ids: Vec<_> = self.connections.ids().collect();
        match self.common.dialect {
            Dialect::Base => self.base_list(ids),
            Dialect::Extended => Body::Sync { newest: self.common.ids.newest_remote(), ids },
        }
    }

    /// The remote's list (extended dialect). Messages are ordered, so a connection that it does not
    /// list, and whose Connect it has read, ended there without a message.
    pub(super) fn on_sync(&mut self, newest: ConnectionId, listed: &[ConnectionId]) {
        let ids = &self.common.ids;
        let missing: Vec<_> = self
            .connections
            .ids()
            .filter(|id| !ids.is_own(*id) || *id <= newest)
            .filter(|id| listed.binary_search(id).is_err())
            .collect();
        self.close_missing(missing);
    }

    pub(super) fn close_missing(&mut self, missing: Vec<ConnectionId>) {
        self.signal_all(missing, SessionSignal::NotListed, "the remote does not list it");
    }
}
