//! The agent: keeps a session to its server, and dials for it.

mod builder;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use watertight_core::wire::GoAwayCode;
use watertight_core::{Ledger, SessionConfig};

use crate::connect::{AgentStatus, AgentStopped, WaitReason};
use crate::endpoint::Endpoint;
use crate::forward::Forward;
use crate::kernel::Keepalive;
use crate::listener::Listener;
use crate::log_limit::Limits;
use crate::serve::Handler;
use crate::session::Buffers;
#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::stream::dial_newest;
use crate::stream::{DialError, TunnelStream};
use crate::tasks::Tasks;

pub use builder::AgentBuilder;

use sessions::AgentSessions;

/// Time for the session's close message after the timeout of a shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// The ledger of an agent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AgentLedger {
    /// Connections of all its sessions, past ones included.
    pub connections: Ledger,
    /// Tasks alive.
    pub tasks: usize,
}

impl AgentLedger {
    /// Whether nothing is left: every connection that was added was removed, nothing is buffered,
    /// no task is alive.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.connections.is_settled() && self.tasks == 0
    }
}

/// The end behind the NAT.
///
/// Clones are handles to the same agent. When the last one is dropped, every task of the agent ends
/// at once; [`shutdown`](Self::shutdown) ends it in order.
#[derive(Clone, Debug)]
pub struct Agent {
    inner: Arc<Inner>,
    _kill: Arc<DropGuard>,
}

#[derive(Debug)]
struct Inner {
    /// The server, for the log.
    endpoint: Endpoint,
    /// The client key.
    key: String,
    handler: Handler,
    keepalive: Keepalive,
    session: SessionConfig,
    tasks: Tasks,
    stop: CancellationToken,
    sessions: AgentSessions,
    status: watch::Sender<AgentStatus>,
    /// Limits of the log lines that the server causes, in all of its sessions.
    limits: Arc<Limits>,
    buffers: Buffers,
}

impl Agent {
    /// The agent's status, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.inner.status.subscribe()
    }

    /// Waits until the session is up. Cancel safe.
    ///
    /// # Errors
    ///
    /// The agent was shut down: it will have no more sessions.
    pub async fn connected(&self) -> Result<(), AgentStopped> {
        let mut status = self.status();
        tokio::select! {
            biased;
            () = self.inner.stop.cancelled() => Err(AgentStopped),
            up = status.wait_for(|status| matches!(status, AgentStatus::Connected { .. })) => {
                up.map(drop).map_err(|_| AgentStopped)
            }
        }
    }

    /// Dials `target` on the server's side, where the server allows it. Cancel safe: dropping the
    /// future cancels the dial on both ends.
    ///
    /// # Errors
    ///
    /// See [`DialError`].
    pub async fn dial(&self, target: &str) -> Result<TunnelStream, DialError> {
        self.dial_within(target, None).await
    }

    /// As [`dial`](Self::dial), with a timeout of its own; the default is
    /// [`Timing::dial`](watertight_core::session::Timing::dial).
    ///
    /// # Errors
    ///
    /// See [`DialError`].
    pub async fn dial_within(
        &self,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        self.inner.dial(target, within).await
    }

    /// Dials `target` through the server for every connection that `listener` accepts. The forward
    /// ends with the agent, or by its handle.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn forward(&self, listener: Listener, target: &str) -> Forward {
        // Shared by the dials, which are tasks of the agent: they do not keep it alive.
        let to: Arc<(_, String)> = Arc::new((Arc::clone(&self.inner), target.to_string()));
        let dial = move || {
            let to = Arc::clone(&to);
            async move { to.0.dial(&to.1, None).await }
        };
        let (tasks, stop) = (&self.inner.tasks, &self.inner.stop);
        Forward::start(tasks, stop, listener, target, self.inner.keepalive, dial)
    }

    /// The ledger of the agent.
    #[must_use]
    pub fn ledger(&self) -> AgentLedger {
        AgentLedger { connections: self.inner.sessions.ledger(), tasks: self.inner.tasks.live() }
    }

    /// Entries of its tables that the ledger does not count.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.inner.sessions.kept()
    }

    /// Ends every task of the agent at once, as the death of its process would, and returns the
    /// ledger when they have ended.
    pub async fn kill(self) -> AgentLedger {
        self.inner.stop.cancel();
        self.inner.tasks.wind_down(Duration::ZERO).await;
        self.inner.sessions.force_close_ended();
        self.inner.status.send_replace(AgentStatus::Stopped);
        self.ledger()
    }

    /// Ends the agent: refuses new dials, lets the open connections run to their end for at most
    /// `timeout`, closes, waits until every task has ended, and returns the ledger. Not cancel
    /// safe: if it is dropped, the agent stays draining.
    pub async fn shutdown(self, timeout: Duration) -> AgentLedger {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.sessions.close(|core, now| core.drain(now, "the agent is shutting down", timeout));
        if tokio::time::timeout(timeout, inner.sessions.all_ended()).await.is_err() {
            inner.sessions.close(|core, now| {
                core.close(now, GoAwayCode::SHUTDOWN, "the agent has shut down");
            });
        }
        inner.tasks.wind_down(CLOSE_TIMEOUT).await;
        inner.sessions.force_close_ended();
        inner.status.send_replace(AgentStatus::Stopped);
        self.ledger()
    }
}

impl Inner {
    async fn dial(
        &self,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        let newest = || self.sessions.current().ok_or(DialError::NoServer);
        dial_newest(newest, target, within.unwrap_or(self.session.timing.dial)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_or_a_connection_unsettles_a_ledger() {
        let even = AgentLedger { connections: Ledger::default(), tasks: 0 };
        assert!(even.is_settled());
        assert!(!AgentLedger { tasks: 1, ..even }.is_settled());
        let mut connections = Ledger::default();
        connections.added = 1;
        assert!(!AgentLedger { connections, ..even }.is_settled());
    }
}
