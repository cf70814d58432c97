use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tracing::debug;
use watertight_core::session::OpenError;
use watertight_core::wire::ResetCode;
use watertight_core::{Cause, ConnectionEnd, ConnectionId};

use super::TunnelStream;
use crate::session::Shared;

/// Why a dial through the tunnel gave no stream.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// No session of this client is there.
    #[error("client {0:?} is not connected")]
    NotConnected(String),
    /// The agent has no session with its server.
    #[error("the agent is not connected to its server")]
    NoServer,
    /// The dial could not be sent.
    #[error(transparent)]
    NotSent(#[from] OpenError),
    /// The remote refused the dial, or its own dial failed.
    #[error("{text}")]
    Refused {
        /// Its reason, where it has codes for them: the base dialect has not.
        code: Option<ResetCode>,
        /// Its words.
        text: String,
    },
    /// The remote did not answer in time.
    #[error("no answer from the remote in time")]
    Timeout,
    /// The session ended before the dial was answered.
    #[error("the session ended before the dial was answered: {0}")]
    SessionEnded(ConnectionEnd),
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        let kind = match &error {
            DialError::NotConnected(_) | DialError::NoServer => io::ErrorKind::HostUnreachable,
            DialError::NotSent(OpenError::TargetTooLong { .. } | OpenError::NoAddress) => {
                io::ErrorKind::InvalidInput
            }
            DialError::NotSent(_) => io::ErrorKind::ResourceBusy,
            DialError::Refused { .. } => io::ErrorKind::ConnectionRefused,
            DialError::Timeout => io::ErrorKind::TimedOut,
            DialError::SessionEnded(_) => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

/// Dials `target` on the remote's side of a session.
///
/// Cancel safe: dropping the future gives the dial up on both ends.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    target: &str,
    within: Option<Duration>,
) -> Result<TunnelStream, DialError> {
    dial_client(shared, None, target, within).await
}

/// As [`dial`]. Where a `client` of a peer's is dialled which the peer turns out not to have, the
/// session's owner is told, even if that is later: some peers do not answer dials.
pub(crate) async fn dial_client(
    shared: &Arc<Shared>,
    client: Option<&str>,
    target: &str,
    within: Option<Duration>,
) -> Result<TunnelStream, DialError> {
    let id = open(shared, client, target, within)?;
    // From here on the stream owns the connection, also if this future is dropped.
    let stream = TunnelStream::new(Arc::clone(shared), id, target);
    let opened = poll_fn(|cx| poll_opened(shared, id, cx)).await;
    stream.span().in_scope(|| match &opened {
        Ok(()) => debug!("dialled"),
        Err(error) => debug!(%error, "dial failed"),
    });
    opened.map(|()| stream)
}

fn open(
    shared: &Shared,
    client: Option<&str>,
    target: &str,
    within: Option<Duration>,
) -> Result<ConnectionId, DialError> {
    let now = shared.clock.now();
    let mut state = shared.lock();
    let id = state.core.open(now, target, within)?;
    state.add_handle(id);
    if let Some(handle) = state.handle(id) {
        handle.client = client.map(Box::from);
    }
    state.dispatch();
    state.wake_driver();
    Ok(id)
}

fn poll_opened(shared: &Shared, id: ConnectionId, cx: &Context<'_>) -> Poll<Result<(), DialError>> {
    let mut state = shared.lock();
    let Some(handle) = state.handle(id) else { return Poll::Pending };
    if handle.opened {
        return Poll::Ready(Ok(()));
    }
    if let Some(end) = &handle.end {
        return Poll::Ready(Err(dial_error(end.clone())));
    }
    handle.reader = Some(cx.waker().clone());
    Poll::Pending
}

fn dial_error(end: ConnectionEnd) -> DialError {
    match end.cause {
        Cause::DialTimeout => DialError::Timeout,
        Cause::Refused => DialError::Refused { code: end.code, text: end.to_string() },
        _ => DialError::SessionEnded(end),
    }
}
