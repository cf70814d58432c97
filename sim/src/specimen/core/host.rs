//! Hosts with a bad habit around right sessions.

use watertight_core::wire::Dialect;
use watertight_core::{Instant, Role, Session, SessionConfig};

use crate::core_world::tunnel::{Right, Tunnel};

/// R12: "an agent reconnects while its old session is half dead: every dial goes to the oldest
/// session".
pub(super) struct OldestWins;

impl Tunnel for OldestWins {
    type End = Session;

    fn end(&self, now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Session {
        Right.end(now, role, dialect, config)
    }

    fn closes_replaced(&self) -> bool {
        false
    }

    fn newest_wins(&self) -> bool {
        false
    }
}

/// R14: "a session fails on the server: its socket is never closed: the agent stays attached to
/// nothing".
pub(super) struct LeavesSocketOpen;

impl Tunnel for LeavesSocketOpen {
    type End = Session;

    fn end(&self, now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Session {
        Right.end(now, role, dialect, config)
    }

    fn closes_transport(&self) -> bool {
        false
    }
}

/// R25: "its session stays and stays authorised": what has ended stays in the registry.
pub(super) struct KeepsEnded;

impl Tunnel for KeepsEnded {
    type End = Session;

    fn end(&self, now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Session {
        Right.end(now, role, dialect, config)
    }

    fn removes_ended(&self) -> bool {
        false
    }
}
