//! Signs of life, and the time that one takes.

use core::time::Duration;

use super::Session;
use crate::timers::Timer;
use crate::wire::Dialect;
use crate::{Instant, Role};

/// What we know of the other end's being there.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Keepalive {
    heard: Instant,
    pings: u64,
    /// When the ping that is not answered yet was handed to the transport.
    pinged: Option<Instant>,
    rtt: Option<Duration>,
}

impl Keepalive {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard: now, pings: 0, pinged: None, rtt: None }
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(super) const fn last_heard(&self) -> Instant {
        self.heard
    }

    /// The bytes of the next ping, which is sent now.
    pub(super) fn ping(&mut self, now: Instant) -> [u8; 8] {
        self.pings += 1;
        self.pinged = Some(now);
        self.pings.to_be_bytes()
    }

    /// A pong came. Only one that answers the latest ping tells the time of a round trip.
    pub(super) fn pong(&mut self, now: Instant, opaque: &[u8]) {
        let answers_latest = opaque == self.pings.to_be_bytes() || opaque.is_empty();
        if let Some(sent) = self.pinged.filter(|_| answers_latest) {
            self.pinged = None;
            let sample = now - sent;
            self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        }
    }
}

impl Session {
    /// Whether this end asks the other for signs of life: in the base dialect only the connector
    /// does.
    pub(super) fn pings(&self) -> bool {
        self.extended() || self.role == Role::Connector
    }

    /// The transport's own ping arrived (WebSocket, RFC 6455 section 5.5.2), and the transport
    /// answers it.
    pub fn handle_transport_ping(&mut self, now: Instant) {
        let now = self.at(now);
        self.keepalive.heard(now);
    }

    /// The transport's own pong arrived.
    pub fn handle_transport_pong(&mut self, now: Instant, payload: &[u8]) {
        let now = self.at(now);
        self.keepalive.heard(now);
        if self.dialect == Dialect::Base {
            self.keepalive.pong(now, payload);
        }
    }

    /// The time for a ping has come.
    pub(super) fn on_ping_timer(&mut self, now: Instant) {
        self.outbox.set_ping(now);
        self.timers.arm(Timer::Ping, now + self.config.timing.ping_interval);
    }

    /// The other end may have been silent for too long. The timer is not moved by every message;
    /// it looks, when it comes, at when the last one came.
    pub(super) fn on_silence_timer(&mut self, now: Instant) {
        let since = self.keepalive.last_heard();
        let until = since + self.config.timing.silence;
        if until <= now {
            self.end(super::SessionEnd::Silent(now - since));
        } else {
            self.timers.arm(Timer::Silence, until);
        }
    }
}
