//! A session on a running transport: its driver, the state that the driver shares with the handles
//! to the session's connections, and the ledger of ended sessions.

mod buffers;
mod driver;
#[cfg(all(test, shuttle))]
pub(crate) mod interleavings;
mod past;
mod shared;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use crate::log_limit::Limits;
use crate::metrics::LiveSession;
use crate::sync::Clock;
use crate::tasks::Tasks;
use crate::transport::Transport;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument, Span};
use watertight_core::wire::Dialect;
use watertight_core::{Role, Session, SessionConfig};

pub use buffers::Buffers;
use driver::Driver;
pub(crate) use driver::SessionEvents;
#[cfg(feature = "simulation")]
pub use past::Kept;
pub(crate) use past::PastSessions;
pub(crate) use shared::{InHand, Locked, Shared};
pub(crate) use state::State;

/// The grace period of a session's tasks, which splice sockets, after its end: bytes that have
/// arrived are still delivered to a socket that accepts them. A splice ends sooner if nothing
/// moves.
const GRACE: Duration = Duration::from_secs(60);

/// Drives a session to its end.
pub(crate) type SessionTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Properties of a new session.
pub(crate) struct RunOptions {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    pub(crate) config: SessionConfig,
    pub(crate) span: Span,
    /// Whether the remote is a server's peer.
    pub(crate) peer: bool,
    /// Limits of its log lines.
    pub(crate) limits: Arc<Limits>,
    /// The bound that its bytes count toward.
    pub(crate) buffers: Buffers,
}

/// Makes a session on a transport, and the task that drives it. `owner` is made with the group of
/// the tasks that belong to the session; the driver's task ends when all of them have.
///
/// The caller spawns the task, and holds no lock while it does: a runtime that shuts down drops the
/// task at once, and with it the session. Dropping the task ends the session.
pub(crate) fn prepare<T: Transport + Unpin, O: SessionEvents + Unpin>(
    tasks: &Tasks,
    transport: T,
    options: RunOptions,
    owner: impl FnOnce(&Tasks) -> O,
) -> (Arc<Shared>, SessionTask) {
    let clock = Clock::start();
    let core = Session::new(clock.now(), options.role, options.dialect, options.config);
    let (span, limits, buffers) = (options.span.clone(), options.limits, &options.buffers);
    let shared = Shared::new(clock, core, span, limits, buffers);
    let (children, peer) = (tasks.child(), options.peer);
    let driver = Driver::new(Arc::clone(&shared), transport, owner(&children));
    let task = async move {
        let live = LiveSession::start(peer);
        driver.await;
        drop(live);
        children.wind_down(GRACE).await;
    };
    (shared, Box::pin(task.instrument(options.span)))
}
