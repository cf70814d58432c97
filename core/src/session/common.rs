//! What a session has beside its connections.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::ids::Ids;
use super::keepalive::Keepalive;
use super::outbox::{Control, Outbox};
use super::{Event, SessionConfig, SessionEnd};
use crate::timers::SessionTimers;
use crate::wire::{Dialect, Encoded, Settings};
use crate::{Instant, Role};

/// A round trip before one was measured: a slow one, so that windows grow.
const ASSUMED_RTT: Duration = Duration::from_millis(100);

/// The shortest round trip that flow control reckons with. The ping of an idle session between near
/// ends takes less than the turns that busy ones wait for each other, and windows that it measures
/// hold them back.
const LEAST_RTT: Duration = Duration::from_millis(1);

/// A session without its connections.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
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
    /// What the remote grants and bears; unknown until its first message.
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
        if self.short_of_memory {
            limits.send_buffer.min(limits.max_data)
        } else {
            limits.send_buffer
        }
    }

    /// The largest Data payload that both ends take.
    pub(super) fn max_data(&self) -> usize {
        let remote = self.remote.map_or(u64::MAX, |settings| settings.max_data);
        self.config.limits.max_data.min(usize::try_from(remote).unwrap_or(usize::MAX))
    }
}
