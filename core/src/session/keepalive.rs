//! Keepalive: signs of life of the remote, and the round trip time.

use core::time::Duration;

use super::{Session, SessionEnd};
use crate::Instant;
use crate::timers::Timer;
use crate::wire::Dialect;

/// What is known of the remote's being there.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Keepalive {
    heard: Instant,
    /// When the remote last took bytes that wait in the transport: before that, it could not have
    /// answered.
    taken: Instant,
    pings: u64,
    /// The latest ping that was answered.
    answered: u64,
    /// When the ping that is not answered yet was handed to the transport.
    pinged: Option<Instant>,
    rtt: Option<Duration>,
}

impl Keepalive {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard: now, taken: now, pings: 0, answered: 0, pinged: None, rtt: None }
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(super) fn heard(&mut self, at: Instant) {
        self.heard = self.heard.max(at);
    }

    pub(super) fn taken(&mut self, at: Instant) {
        self.taken = self.taken.max(at);
    }

    pub(super) const fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Since when the remote could have given a sign of life, and has not.
    pub(super) fn silent_since(&self) -> Instant {
        self.heard.max(self.taken)
    }

    /// The bytes of the next ping, which is sent now.
    pub(super) fn ping(&mut self, now: Instant) -> [u8; 8] {
        self.pings += 1;
        self.pinged = Some(now);
        self.pings.to_be_bytes()
    }

    /// The number of the next ping that is sent, from 1.
    pub(super) const fn next_ping(&self) -> u64 {
        self.pings + 1
    }

    /// The number of the latest ping that was answered, 0 if none was. A message that arrives now was
    /// sent after that ping was read.
    pub(super) const fn answered(&self) -> u64 {
        self.answered
    }

    /// A pong came. Only one that answers the latest ping tells the time of a round trip.
    pub(super) fn pong(&mut self, now: Instant, opaque: &[u8]) {
        let number = opaque.try_into().ok().map(u64::from_be_bytes);
        self.answered = number.filter(|it| *it <= self.pings).unwrap_or(0).max(self.answered);
        let answers_latest = number == Some(self.pings) || opaque.is_empty();
        if let Some(sent) = self.pinged.filter(|_| answers_latest) {
            self.pinged = None;
            let sample = now - sent;
            self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        }
    }
}

/// A request for a sign of life: see [`Session::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    ping: u64,
    at: Instant,
}

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

    /// Asks the remote for a sign of life now, even if the dialect leaves the pings to the remote.
    pub fn probe(&mut self, now: Instant) -> Probe {
        let at = self.common.at(now);
        self.common.outbox.set_ping(at);
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
