//! Local ports whose connections are dialled through the tunnel.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, debug, info, info_span};

use crate::copy::{OnEof, Socket, copy};
use crate::kernel::Keepalive;
use crate::listener::{Accepted, Listener};
use crate::log_limit::{LogLimit, some};
use crate::stream::{DialError, TunnelStream};
use crate::tasks::Tasks;

/// A running forward. Dropping it stops accepting and ends its connections.
#[derive(Debug)]
#[must_use = "dropping a forward ends it"]
pub struct Forward {
    stop: CancellationToken,
    _stop: DropGuard,
    _kill: DropGuard,
}

impl Forward {
    /// Forwards what `listener` accepts until `stop`, in tasks below `parent`.
    pub(crate) fn start<D, A>(
        parent: &Tasks,
        stop: &CancellationToken,
        listener: Listener,
        name: &str,
        keepalive: Keepalive,
        dial: D,
    ) -> Self
    where
        D: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<TunnelStream, DialError>> + Send + 'static,
    {
        let tasks = parent.child();
        let stop = stop.child_token();
        let forward = Self {
            stop: stop.clone(),
            _stop: stop.clone().drop_guard(),
            _kill: tasks.kill_on_drop(),
        };
        let accepting = accept_all(listener, tasks, stop, keepalive, Arc::new(dial));
        parent.spawn(accepting.instrument(info_span!("forward", to = name)));
        forward
    }

    /// Stops accepting; open connections go on.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

async fn accept_all<D, A>(
    listener: Listener,
    tasks: Tasks,
    stop: CancellationToken,
    keepalive: Keepalive,
    dial: Arc<D>,
) where
    D: Fn() -> A + Send + Sync + 'static,
    A: Future<Output = Result<TunnelStream, DialError>> + Send + 'static,
{
    let limit = Arc::new(LogLimit::default());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept_socket(keepalive) => accepted,
        };
        let (dial, limit) = (Arc::clone(&dial), Arc::clone(&limit));
        match accepted {
            Accepted::Tcp(socket, _) => {
                tasks.spawn(forward(socket, keepalive, dial, limit).in_current_span())
            }
            #[cfg(unix)]
            Accepted::Unix(socket) => {
                tasks.spawn(forward(socket, keepalive, dial, limit).in_current_span())
            }
        }
    }
    drop(listener);
    // Ended by the connections themselves, or killed with the server.
    tasks.wind_down(Duration::MAX).await;
}

async fn forward<S, D, A>(socket: S, keepalive: Keepalive, dial: Arc<D>, limit: Arc<LogLimit>)
where
    S: Socket,
    D: Fn() -> A,
    A: Future<Output = Result<TunnelStream, DialError>>,
{
    // An open connection does not keep the room that its dial took.
    let dialled = Box::pin(unless_gone(&socket, dial())).await;
    let Some(dialled) = dialled else { return debug!("gone before the dial was answered") };
    match dialled {
        Ok(stream) => {
            let span = stream.span().clone();
            carry(socket, stream, keepalive).instrument(span).await;
        }
        Err(error) => {
            // The one at the remote of the socket can only be told by a reset.
            socket.abort();
            log_failed(&error, &limit);
        }
    }
}

/// A health check of an agent that is away fails all day.
fn log_failed(error: &DialError, limit: &LogLimit) {
    match limit.pass() {
        Some(left_out) => info!(%error, left_out = some(left_out), "cannot dial"),
        None => debug!(%error, "cannot dial"),
    }
}

/// The time between a client's reset and the end of its pending dial. A target that answers within this time
/// gets what was sent before, as it would from a client that connects, sends and resets.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

/// A dial that nobody waits for any more is given up.
async fn unless_gone<S: Socket, T>(socket: &S, dial: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        dialled = dial => Some(dialled),
        () = async { socket.gone().await; tokio::time::sleep(GIVE_UP_AFTER).await } => None,
    }
}

async fn carry<S: Socket>(socket: S, stream: TunnelStream, keepalive: Keepalive) {
    match copy(socket, stream, OnEof::HalfClose, keepalive).await {
        Ok(copied) => debug!(copied.sent, copied.received, "connection finished"),
        Err(error) => debug!(%error, "connection failed"),
    }
}
