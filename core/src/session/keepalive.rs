//! Signs of life, and the time that one takes.

use core::time::Duration;

use super::Session;
use crate::timers::Timer;
use crate::wire::Dialect;
use crate::{Instant, Role};

/// How many pings the remote may miss.
const PINGS: u32 = 3;

/// An end that says it bears no silence at all is pinged no more often than this: more would be
/// work that it can ask for and does nothing for.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// What we know of the other end's being there.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Keepalive {
    heard: Instant,
    /// When the remote last took some of what waits in the transport: before that, it could not
    /// have answered.
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

    /// The number of the latest ping that was answered, 0 if none was: what comes now was sent when that
    /// had been read.
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

/// A question for a sign of life: see [`Session::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    ping: u64,
    at: Instant,
}

impl Session {
    /// Whether this end asks the remote for signs of life by itself: in the base dialect only the
    /// connector does. An acceptor pings there to learn how old a list is.
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

    /// Some of a message has arrived: a long one takes its time on a slow link. `at` is when it did, now or
    /// before.
    pub fn handle_transport_received(&mut self, at: Instant) {
        self.keepalive.heard(at);
    }

    /// The remote's side of the transport has taken some of what [`poll_transmit`] gave, and more
    /// of it waits. A transport that queues is no stalled one while its queue moves, though it
    /// takes nothing new; and what waits in it, a ping say, cannot have been answered. `at` is when it was
    /// taken, now or before.
    ///
    /// [`poll_transmit`]: Self::poll_transmit
    pub fn handle_transport_sent(&mut self, at: Instant) {
        self.keepalive.taken(at);
        self.outbox.moved(at);
    }

    /// Asks the remote for a sign of life now, though in this dialect the remote may be the one that pings.
    pub fn probe(&mut self, now: Instant) -> Probe {
        let at = self.at(now);
        self.outbox.set_ping(at);
        Probe { ping: self.keepalive.next_ping(), at }
    }

    /// Whether the remote has given a sign of life since it was asked.
    #[must_use]
    pub fn has_answered(&self, probe: Probe) -> bool {
        self.keepalive.answered() >= probe.ping || self.keepalive.last_heard() > probe.at
    }

    /// The time for a ping has come.
    pub(super) fn on_ping_timer(&mut self, now: Instant) {
        self.outbox.set_ping(now);
        self.timers.arm(Timer::Ping, now + self.ping_interval());
    }

    /// The own interval, or a shorter one for a remote that is less patient.
    pub(super) fn ping_interval(&self) -> Duration {
        let own = self.config.timing.ping_interval;
        match self.peer.map_or(0, |peer| peer.silence) {
            0 => own,
            silence => own.min((Duration::from_millis(silence) / PINGS).max(LEAST_INTERVAL)),
        }
    }

    /// The other end may have been silent for too long. The timer is not moved by every message;
    /// it looks, when it comes, at when the last one came.
    pub(super) fn on_silence_timer(&mut self, now: Instant) {
        let until = self.keepalive.silent_since() + self.config.timing.silence;
        if until <= now {
            self.end(super::SessionEnd::Silent(now - self.keepalive.last_heard()));
        } else {
            self.timers.arm(Timer::Silence, until);
        }
    }
}
