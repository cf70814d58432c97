use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, Span};
use watertight_core::wire::Dialect;
use watertight_core::{Role, Session, SessionConfig};

use super::clock::Clock;
use super::driver::{Driver, Owner};
use super::state::Shared;
use crate::tasks::Tasks;
use crate::transport::Transport;

/// How long the tasks of a session, which copy to and from sockets, may go on after it has ended:
/// what was received completely is still delivered to a socket that takes it.
const GRACE: Duration = Duration::from_secs(5);

/// What a new session is.
pub(crate) struct RunOptions {
    pub(crate) role: Role,
    pub(crate) dialect: Dialect,
    pub(crate) config: SessionConfig,
    pub(crate) span: Span,
}

/// Starts a session on a transport: one task for its driver, and a group for the tasks that
/// belong to it, which `owner` is made with. The driver's task ends when all of them have.
pub(crate) fn run<T: Transport + Unpin, O: Owner + Unpin>(
    tasks: &Tasks,
    transport: T,
    options: RunOptions,
    owner: impl FnOnce(&Tasks) -> O,
) -> Arc<Shared> {
    let clock = Clock::start();
    let core = Session::new(clock.now(), options.role, options.dialect, options.config);
    let shared = Shared::new(clock, core);
    let children = tasks.child();
    let driver = Driver::new(Arc::clone(&shared), transport, owner(&children));
    let task = async move {
        driver.await;
        children.wind_down(GRACE).await;
    };
    tasks.spawn(task.instrument(options.span));
    shared
}
