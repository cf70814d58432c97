//! Local ports whose connections are dialled through the tunnel.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, debug, info, info_span};

use crate::kernel::Keepalive;
use crate::listener::{Accepted, Listener};
use crate::log_limit::{LogLimit, some};
use crate::splice::{OnEof, Side, splice};
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
    /// Forwards every connection that `listener` accepts until `stop`, in tasks below `parent`.
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

    /// Stops accepting; open connections run to their end.
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
    // The connections end by themselves, or are killed with the server.
    tasks.wind_down(Duration::MAX).await;
}

async fn forward<S, D, A>(socket: S, keepalive: Keepalive, dial: Arc<D>, limit: Arc<LogLimit>)
where
    S: Side,
    D: Fn() -> A,
    A: Future<Output = Result<TunnelStream, DialError>>,
{
    // Boxed, so that an open connection does not keep the memory of its dial's future.
    let dialled = Box::pin(unless_disconnected(&socket, dial())).await;
    let Some(dialled) = dialled else { return debug!("disconnected before the dial was answered") };
    match dialled {
        Ok(stream) => {
            let span = stream.span().clone();
            carry(socket, stream, keepalive).instrument(span).await;
        }
        Err(error) => {
            // A reset is the only error that a socket's client can receive.
            socket.abort();
            log_failed(&error, &limit);
        }
    }
}

/// Limited: a health check of a disconnected agent fails all day.
fn log_failed(error: &DialError, limit: &LogLimit) {
    match limit.pass() {
        Some(left_out) => info!(%error, left_out = some(left_out), "cannot dial"),
        None => debug!(%error, "cannot dial"),
    }
}

/// The time between a client's reset and the end of its pending dial. A target that answers within this time
/// gets what was sent before, as it would from a client that connects, sends and resets.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1);

/// Cancels a dial whose client has disconnected.
async fn unless_disconnected<S: Side, T>(socket: &S, dial: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        dialled = dial => Some(dialled),
        () = async { socket.disconnected().await; tokio::time::sleep(GIVE_UP_AFTER).await } => None,
    }
}

async fn carry<S: Side>(socket: S, stream: TunnelStream, keepalive: Keepalive) {
    match splice(socket, stream, OnEof::HalfClose, keepalive).await {
        Ok(spliced) => debug!(spliced.sent, spliced.received, "connection finished"),
        Err(error) => debug!(%error, "connection failed"),
    }
}
