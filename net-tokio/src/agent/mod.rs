//! The end behind the NAT: keeps a session to its server and dials for it.

mod builder;
mod connector;
mod host;
mod link;
mod run;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use watertight_core::wire::GoAwayCode;
use watertight_core::{Ledger, SessionConfig};

use crate::forward::Forward;
use crate::kernel::Keepalive;
use crate::listener::Listener;
use crate::log_limit::Limits;
use crate::redial::dial_newest;
use crate::serve::Handler;
use crate::session::Buffers;
#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::stream::{DialError, TunnelStream};
use crate::tasks::Tasks;

pub use builder::AgentBuilder;
pub(crate) use builder::Home;
pub(crate) use connector::ByteStreams;
pub(crate) use host::Host;
pub use status::{AgentStatus, AgentStopped, WaitReason};

use connector::Connector;
use link::Links;

/// How long the session gets to say goodbye after the deadline of a shutdown.
const FAREWELL: Duration = Duration::from_secs(4);

/// The books of an agent.
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
/// Clones are handles to the same agent. When the last one is dropped, every task of the agent
/// ends at once; [`shutdown`](Self::shutdown) is the orderly way.
#[derive(Clone, Debug)]
pub struct Agent {
    inner: Arc<Inner>,
    _kill: Arc<DropGuard>,
}

#[derive(Debug)]
struct Inner {
    connector: Connector,
    handler: Handler,
    keepalive: Keepalive,
    session: SessionConfig,
    tasks: Tasks,
    stop: CancellationToken,
    links: Links,
    status: watch::Sender<AgentStatus>,
    /// Ends the wait before the next attempt to connect, if there is one.
    retry_now: Arc<Notify>,
    /// Of what the server may cause to be logged, in all of its sessions.
    limits: Arc<Limits>,
    buffers: Buffers,
    /// Whoever keeps the sessions' books in place of the links.
    host: Option<Arc<dyn Host>>,
}

impl Agent {
    /// The agent's standing, and its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.inner.status.subscribe()
    }

    /// Waits until the session is up. Cancel safe.
    ///
    /// # Errors
    /// Another handle to the agent was told to shut it down: there will be no session any more.
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
    /// future gives the dial up on both ends.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, target: &str) -> Result<TunnelStream, DialError> {
        self.dial_within(target, None).await
    }

    /// As [`dial`](Self::dial), with a deadline of its own; without one that of
    /// [`Timing::dial`](watertight_core::session::Timing::dial) counts.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial_within(
        &self,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        self.inner.dial(target, within).await
    }

    /// Dials every connection that `listener` accepts through the server. It ends with the agent,
    /// or when the returned handle says so.
    ///
    /// # Panics
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

    /// The books of the agent.
    #[must_use]
    pub fn ledger(&self) -> AgentLedger {
        AgentLedger { connections: self.inner.links.ledger(), tasks: self.inner.tasks.live() }
    }

    /// What its tables hold that the books do not count.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.inner.links.kept()
    }

    /// Ends every task of the agent at once, as the death of its process would, and returns the
    /// books when they are gone.
    pub async fn kill(self) -> AgentLedger {
        self.inner.stop.cancel();
        self.inner.tasks.wind_down(Duration::ZERO).await;
        self.inner.links.abandon();
        self.inner.status.send_replace(AgentStatus::Stopped);
        self.ledger()
    }

    /// Ends the agent: takes no new dials, lets the open connections run to their end for at most
    /// `deadline`, closes, waits until every task is gone, and returns the books. Not cancel
    /// safe: dropped half-way, the agent is left draining.
    pub async fn shutdown(self, deadline: Duration) -> AgentLedger {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.links.close(|core, now| core.drain(now, "the agent is shutting down", deadline));
        if tokio::time::timeout(deadline, inner.links.gone()).await.is_err() {
            inner.links.close(|core, now| {
                core.close(now, GoAwayCode::SHUTDOWN, "the agent has shut down");
            });
        }
        inner.tasks.wind_down(FAREWELL).await;
        inner.links.abandon();
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
        let newest = || self.links.current().ok_or(DialError::NoServer);
        dial_newest(newest, target, within.unwrap_or(self.session.timing.dial)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_or_a_connection_makes_a_ledger_uneven() {
        let even = AgentLedger { connections: Ledger::default(), tasks: 0 };
        assert!(even.is_settled());
        assert!(!AgentLedger { tasks: 1, ..even }.is_settled());
        let mut connections = Ledger::default();
        connections.added = 1;
        assert!(!AgentLedger { connections, ..even }.is_settled());
    }
}
