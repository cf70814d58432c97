use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, Span};
use watertight_core::wire::Dialect;
use watertight_core::{Role, Session, SessionConfig};

use super::buffers::Buffers;
use super::clock::Clock;
use super::driver::{Driver, Owner};
use super::shared::Shared;
use crate::log_limit::Limits;
use crate::metrics::LiveSession;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// How long the tasks of a session, which copy to and from sockets, may go on after it has ended:
/// what has arrived is still delivered to a socket that takes it. A copy gives up sooner if nothing
/// moves.
const GRACE: Duration = Duration::from_secs(60);

/// Drives a session to its end.
pub(crate) type SessionTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a new session is.
pub(crate) struct RunOptions {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    pub(crate) config: SessionConfig,
    pub(crate) span: Span,
    /// Whether the remote is a server's peer.
    pub(crate) peer: bool,
    /// Of its lines in the log.
    pub(crate) limits: Arc<Limits>,
    /// Of what it holds, with others.
    pub(crate) buffers: Buffers,
}

/// Makes a session on a transport, and the task that drives it. `owner` is made with the group of
/// the tasks that belong to the session; the driver's task ends when all of them have.
///
/// The caller spawns the task, and holds no lock while it does: a runtime that shuts down drops
/// the task at once, and with it the session. To drop the task is to end the session.
pub(crate) fn prepare<T: Transport + Unpin, O: Owner + Unpin>(
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
