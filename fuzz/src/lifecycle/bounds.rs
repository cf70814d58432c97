//! The bounds of the search: sizes, times and counts, small enough that the state space ends.

use std::time::Duration;

use watertight_core::SessionConfig;
use watertight_core::wire::Dialect;

/// How many bytes an application writes at a time: two writes use up a window.
pub(super) const WRITE: u16 = 800;

/// How many it reads at a time: two reads empty a message.
pub(super) const READ: usize = 600;

/// How long a dial waits for its answer.
pub(super) const DIAL: Duration = Duration::from_secs(15);

/// How long a connection without a handle waits for its end.
pub(super) const LINGER: Duration = Duration::from_secs(20);

/// How long a drain waits for connections: longer than an answer to a dial, shorter than a dial.
pub(super) const DRAIN: Duration = Duration::from_secs(12);

/// How much of the lifecycle is explored.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The dialect of the two ends.
    pub dialect: Dialect,
    /// Dials, by either end.
    pub dials: u8,
    /// An application that has written so many bytes on a connection writes no more.
    pub bytes: u16,
    /// Messages that a pipe holds; more wait in the session.
    pub in_flight: usize,
    /// How often time passes.
    pub waits: u8,
    /// Whether sessions drain, close and lose their transport.
    pub endings: bool,
    /// Whether paths begin before the ends' first messages, too.
    pub handshake: bool,
    /// Whether paths begin with two open connections, one dialled by each end.
    pub open: bool,
    /// The longest path.
    pub steps: u16,
}

impl Bounds {
    /// Two connections and everything that can happen, on paths of a bounded length.
    #[must_use]
    pub const fn wide(dialect: Dialect) -> Self {
        let steps = match dialect {
            Dialect::Base => 9,
            Dialect::Extended => 10,
        };
        Self {
            dialect,
            dials: 2,
            bytes: 2 * WRITE,
            in_flight: 3,
            waits: 3,
            endings: true,
            handshake: true,
            open: false,
            steps,
        }
    }

    /// Two open connections that compete for what a session holds, on paths of a bounded length.
    #[must_use]
    pub const fn busy(dialect: Dialect) -> Self {
        let (handshake, open, steps) = (false, true, 6);
        Self { waits: 1, handshake, open, steps, ..Self::wide(dialect) }
    }

    /// One connection, a write in each direction and no deadline, on paths of any length.
    #[must_use]
    pub const fn whole(dialect: Dialect) -> Self {
        let (bytes, in_flight, steps) = (WRITE, 2, u16::MAX);
        Self {
            dials: 1,
            bytes,
            in_flight,
            waits: 0,
            handshake: false,
            steps,
            ..Self::wide(dialect)
        }
    }

    /// The same with a deadline that comes at any moment, in a session that continues.
    #[must_use]
    pub const fn timed(dialect: Dialect) -> Self {
        Self { waits: 1, in_flight: 1, endings: false, ..Self::whole(dialect) }
    }

    /// Limits so small that two writes meet them, and every deadline at a time of its own. Pings
    /// have nothing to do with connections, so there is one, at the beginning.
    pub(super) fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::default();
        let limits = &mut config.limits;
        (limits.max_connections, limits.max_dials) = (2, 2);
        (limits.max_data, limits.initial_window) = (1024, 1024);
        (limits.max_window, limits.window_budget) = (2048, 1024);
        (limits.send_buffer, limits.send_budget) = (1000, 1000);
        (limits.base.pause_above, limits.base.resume_below) = (700, 300);
        (limits.base.unread_cap, limits.base.unread_budget) = (1500, 4000);
        let timing = &mut config.timing;
        timing.accept = Duration::from_secs(10);
        timing.dial = DIAL;
        timing.linger = LINGER;
        timing.reconcile = Duration::from_secs(25);
        timing.stall = Duration::from_secs(30);
        timing.silence = Duration::from_secs(40);
        timing.announce_silence = false;
        timing.ping_interval = Duration::from_secs(1_000_000);
        config
    }
}
