//! Attempts to connect, with backoff between them, and the status that they have.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use watertight_core::wire::{Dialect, GoAwayCode};
use watertight_core::{Reconnect, SessionEnd};

use super::attempt::{ConnectSettings, Connector};
use crate::handshake::{ConnectError, Connected};
use crate::io::BoxIo;
use crate::log_limit::{Limits, shortened_text, some};
use crate::sync::Clock;

/// The controls and the status of a [`Connecting`], for its owner.
#[derive(Debug)]
pub(crate) struct LinkControl {
    /// Ends the attempts.
    pub(crate) stop: CancellationToken,
    /// Ends the pause before the next attempt.
    pub(crate) retry_now: Arc<Notify>,
    pub(crate) status: watch::Sender<AgentStatus>,
}

/// Yields transports to one server, each after the session on the last one has become unavailable.
///
/// It keeps no sessions: the caller makes them, and reports [`connected`](Self::connected) and
/// [`unavailable`](Self::unavailable).
#[derive(Debug)]
pub(crate) struct Connecting {
    connector: Connector,
    reconnect: Reconnect,
    clock: Clock,
    control: LinkControl,
    /// Limits of the log lines. A server that ends each session at once must not fill the log.
    limits: Arc<Limits>,
    /// The pause before the next attempt.
    pause: Option<Duration>,
}

impl Connecting {
    pub(crate) fn new(connector: Connector, control: LinkControl, limits: Arc<Limits>) -> Self {
        let ConnectSettings { seed, reconnect, .. } = connector.settings();
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(()));
        let reconnect = Reconnect::new(*reconnect, seed);
        Self { connector, reconnect, clock: Clock::start(), control, limits, pause: None }
    }

    /// The next transport, after any number of attempts and pauses; `None` once it is stopped.
    /// `attempts` is called before each attempt. Cancel safe: an attempt is lost, the backoff
    /// stays.
    pub(crate) async fn next(&mut self, attempts: impl Fn()) -> Option<Connected<BoxIo>> {
        let stop = self.control.stop.clone();
        let connected = async {
            loop {
                if let Some(pause) = self.pause {
                    tokio::select! {
                        biased;
                        () = self.control.retry_now.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    self.pause = None;
                }
                self.control.status.send_replace(AgentStatus::Connecting);
                attempts();
                match self.attempt().await {
                    Ok(connected) => return connected,
                    Err(reason) => self.failed(reason),
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            connected = connected => Some(connected),
        }
    }

    async fn attempt(&self) -> Result<Connected<BoxIo>, WaitReason> {
        let timeout = self.connector.settings().timeout;
        let connected = tokio::time::timeout(timeout, self.connector.connect()).await;
        Ok(connected.map_err(|_| WaitReason::Timeout(timeout))??)
    }

    /// The session on the last transport is up.
    pub(crate) fn connected(&mut self, dialect: Dialect) {
        self.reconnect.connected(self.clock.now());
        let server = &self.connector.settings().endpoint;
        match self.limits.sessions.pass().map(some) {
            Some(left_out) => info!(%server, ?dialect, left_out, "connected"),
            None => debug!(%server, ?dialect, "connected"),
        }
        self.control.status.send_replace(AgentStatus::Connected { dialect });
    }

    /// The session takes no new dials any more: it drains, or has ended.
    pub(crate) fn unavailable(&mut self, reason: WaitReason) {
        let now = self.clock.now();
        let pause = match reason {
            WaitReason::Replaced => self.reconnect.replaced(now),
            _ => self.reconnect.disconnected(now),
        };
        self.wait(pause, reason);
    }

    fn failed(&mut self, reason: WaitReason) {
        let now = self.clock.now();
        let pause = match reason.retry_after() {
            Some(after) => self.reconnect.refused(now, after),
            None => self.reconnect.failed(now),
        };
        self.wait(pause, reason);
    }

    fn wait(&mut self, pause: Duration, reason: WaitReason) {
        debug_assert!(self.pause.is_none(), "one pause precedes an attempt");
        self.pause = Some(pause);
        if self.control.stop.is_cancelled() {
            return;
        }
        let text = reason.to_string();
        let shown = &*shortened_text(&text);
        match self.limits.sessions.pass().map(some) {
            Some(left_out) => warn!(reason = shown, retry_in = ?pause, left_out, "not connected"),
            None => debug!(reason = shown, retry_in = ?pause, "not connected"),
        }
        self.control.status.send_replace(AgentStatus::Waiting { retry_in: pause, reason });
    }

    /// Warns where the path has no TLS. Byte streams of the embedder are the embedder's
    /// responsibility.
    pub(crate) fn warn_of_clear_text(&self) {
        let Some(exposed) = self.connector.exposed() else { return };
        let server = &self.connector.settings().endpoint;
        warn!(
            %server,
            "{exposed} go to the server in clear text: anybody on the way can read and change them; use \
             wss:// or tls://"
        );
    }
}

/// The status of an agent's connection to its server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AgentStatus {
    /// It is connecting.
    Connecting,
    /// Its session is up.
    Connected {
        /// The dialect of the session.
        dialect: Dialect,
    },
    /// It pauses before the next attempt.
    Waiting {
        /// The length of the pause.
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
    /// The server drains: it takes no new dials on the session, for this reason. Open connections
    /// run to their end.
    #[error("the server goes away: {0}")]
    GoingAway(String),
    /// Another agent with the same key has the session now.
    #[error("another agent with the same key took over")]
    Replaced,
    /// The session that was up has ended.
    #[error(transparent)]
    Ended(SessionEnd),
    /// The session's task has ended without a reason.
    #[error("the session's task has ended")]
    TaskEnded,
}

impl WaitReason {
    /// The pause that the server asked for.
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
