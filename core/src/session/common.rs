//! The state of a session beside its connections.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::ids::Ids;
use super::outbox::{Control, Outbox};
use super::{Event, SessionConfig, SessionEnd};
use crate::time::{SessionTimers, Timer};
use crate::wire::{Dialect, Encoded, Settings};
use crate::{Instant, Role};

/// How many pings the remote may miss.
const PINGS: u32 = 3;

/// The shortest interval that a remote can ask for by its Settings: a shorter one would be work at no
/// cost of its own.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// A round trip before one was measured: a slow one, so that windows grow.
const ASSUMED_RTT: Duration = Duration::from_millis(100);

/// The shortest round trip that flow control reckons with. The ping of an idle session between near
/// ends takes less than the turns that busy ones wait for each other, and windows that it measures
/// hold them back.
const LEAST_RTT: Duration = Duration::from_millis(1);

/// A session without its connections.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Common {
    pub(super) role: Role,
    pub(super) dialect: Dialect,
    pub(super) config: SessionConfig,
    /// The newest time seen.
    pub(super) now: Instant,
    pub(super) ids: Ids,
    pub(super) outbox: Outbox,
    pub(super) events: VecDeque<Event>,
    pub(super) timers: SessionTimers,
    pub(super) keepalive: Keepalive,
    /// The remote's Settings; unknown until its first message.
    pub(super) remote: Option<Settings>,
    /// Whether announcements of clients are taken from the remote.
    pub(super) trusts_routes: bool,
    pub(super) short_of_memory: bool,
    pub(super) draining: bool,
    pub(super) remote_going_away: bool,
    pub(super) ended: Option<SessionEnd>,
    /// The last messages to the remote: at most one for each connection, and one.
    pub(super) last_messages: VecDeque<Encoded>,
}

impl Common {
    pub(super) fn new(now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Self {
        let mut session = Self {
            role,
            dialect,
            config,
            now,
            ids: Ids::new(role, dialect),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            timers: SessionTimers::default(),
            keepalive: Keepalive::new(now),
            remote: None,
            trusts_routes: false,
            short_of_memory: false,
            draining: false,
            remote_going_away: false,
            ended: None,
            last_messages: VecDeque::new(),
        };
        if dialect == Dialect::Extended {
            session.outbox.push(now, Control::Settings(session.config.settings()));
        }
        session.start_timers();
        session
    }

    /// Takes the time of a call in. An older time than the newest one counts as that.
    pub(super) fn at(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Whether one of the ends takes no new dials.
    pub(super) const fn is_going_away(&self) -> bool {
        self.draining || self.remote_going_away || self.ended.is_some()
    }

    /// The round trip that windows are measured by.
    pub(super) fn flow_rtt(&self) -> Duration {
        self.keepalive.rtt().unwrap_or(ASSUMED_RTT).max(LEAST_RTT)
    }

    /// Bytes of one connection that the application may have queued.
    pub(super) fn send_buffer(&self) -> usize {
        let limits = &self.config.limits;
        debug_assert!(limits.send_buffer > 0, "a writer waits forever");
        if self.short_of_memory {
            limits.send_buffer.min(limits.max_data)
        } else {
            limits.send_buffer
        }
    }

    /// The largest Data payload that both ends take.
    pub(super) fn max_data(&self) -> usize {
        let remote = self.remote.map_or(u64::MAX, |settings| settings.max_data);
        let max = self.config.limits.max_data.min(usize::try_from(remote).unwrap_or(usize::MAX));
        debug_assert!(max > 0, "a message would carry no bytes");
        max
    }

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

/// Signs of life of the remote, and the round trip.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
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

    /// A pong arrived. Only an answer to the latest ping measures a round trip.
    pub(super) fn pong(&mut self, now: Instant, opaque: &[u8]) {
        let number = opaque.try_into().ok().map(u64::from_be_bytes);
        self.answered = number.filter(|it| *it <= self.pings).unwrap_or(0).max(self.answered);
        debug_assert!(self.answered <= self.pings, "a ping is answered that was not sent");
        let answers_latest = number == Some(self.pings) || opaque.is_empty();
        if let Some(sent) = self.pinged.filter(|_| answers_latest) {
            self.pinged = None;
            let sample = now - sent;
            self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        }
    }
}
