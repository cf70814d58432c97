use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use watertight_core::SessionEnd;
use watertight_core::wire::{Dialect, GoAwayCode};

use crate::handshake::ConnectError;

/// Where an agent stands with its server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AgentStatus {
    /// It is connecting.
    Connecting,
    /// Its session is up.
    Connected {
        /// What the server speaks.
        dialect: Dialect,
    },
    /// It waits before it tries again.
    Waiting {
        /// How long.
        retry_in: Duration,
        /// Why it is not connected.
        reason: WaitReason,
    },
    /// It was shut down.
    Stopped,
}

/// Why an agent is not connected.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum WaitReason {
    /// The attempt to connect failed.
    #[error(transparent)]
    Connect(Arc<ConnectError>),
    /// The attempt to connect took longer than
    /// [`connect_timeout`](crate::AgentBuilder::connect_timeout), which is this long.
    #[error("not connected after {0:?}")]
    Timeout(Duration),
    /// The server takes no new dials on the session that was up, and says why. Open connections go
    /// on.
    #[error("the server goes away: {0}")]
    GoingAway(String),
    /// Another agent with the same key has the session now.
    #[error("another agent with the same key took over")]
    Replaced,
    /// The session that was up has ended.
    #[error(transparent)]
    Ended(SessionEnd),
    /// The session's task has ended without a word.
    #[error("the session's task has ended")]
    TaskEnded,
}

impl WaitReason {
    /// How long the server wants to be left alone, if it says so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl From<ConnectError> for WaitReason {
    fn from(error: ConnectError) -> Self {
        Self::Connect(Arc::new(error))
    }
}

impl From<SessionEnd> for WaitReason {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::RemoteClosed { code: GoAwayCode::REPLACED, .. } => Self::Replaced,
            end => Self::Ended(end),
        }
    }
}

/// The agent was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the agent was shut down")]
pub struct AgentStopped;
