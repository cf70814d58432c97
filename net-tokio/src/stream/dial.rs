//! Dials on a session, and on the newest of several.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use tracing::debug;
use watertight_core::session::OpenError;
use watertight_core::wire::ResetCode;
use watertight_core::{Cause, ConnectionEnd, ConnectionId};

use super::TunnelStream;
use crate::session::Shared;

/// Why a dial through the tunnel failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The client has no session.
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
        /// Its reason, if the dialect has codes for them: the base dialect has none.
        code: Option<ResetCode>,
        /// Its text.
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

/// Dials `target` through a session.
///
/// Cancel safe: dropping the future cancels the dial on both ends.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    target: &str,
    within: Option<Duration>,
) -> Result<TunnelStream, DialError> {
    dial_client(shared, None, target, within).await
}

/// As [`dial`]. If a peer does not have the `client` that is dialled through it, the session's
/// owner is notified, even after the dial was answered: some peers do not answer dials.
pub(crate) async fn dial_client(
    shared: &Arc<Shared>,
    client: Option<&str>,
    target: &str,
    within: Option<Duration>,
) -> Result<TunnelStream, DialError> {
    let id = open(shared, client, target, within)?;
    // From here on the stream owns the connection, even if this future is dropped.
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

/// Dials `target` on the session that `newest` returns, and again if another one has taken over
/// meanwhile. All of it takes `within` at most.
///
/// Cancel safe: dropping the future cancels the dial on both ends.
pub(crate) async fn dial_newest(
    newest: impl Fn() -> Result<Arc<Shared>, DialError>,
    target: &str,
    within: Duration,
) -> Result<TunnelStream, DialError> {
    let started = Instant::now();
    let mut tried = newest()?;
    loop {
        let left = within.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(DialError::Timeout);
        }
        let result = dial(&tried, target, Some(left)).await;
        match result {
            // The session was ending, and another one may have taken over.
            Err(error) if is_stale(&error) => match newest() {
                Ok(newer) if !Arc::ptr_eq(&newer, &tried) => tried = newer,
                _ => return Err(error),
            },
            result => return result,
        }
    }
}

/// Whether a dial failed because of its session. The target may have been reached all the same, but
/// no byte was sent to it.
pub(crate) fn is_stale(error: &DialError) -> bool {
    matches!(
        error,
        DialError::SessionEnded(_) | DialError::NotSent(OpenError::Closed | OpenError::GoingAway)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tracing::Span;
    use watertight_core::wire::{Dialect, GoAwayCode};
    use watertight_core::{Role, Session, SessionConfig};

    use super::*;
    use crate::session::Buffers;
    use crate::sync::Clock;

    /// Toward a remotedialer end, which does not answer dials.
    fn session() -> Arc<Shared> {
        let clock = Clock::start();
        let config = SessionConfig::default();
        let core = Session::new(clock.now(), Role::Acceptor, Dialect::Base, config);
        Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default())
    }

    fn ended() -> Arc<Shared> {
        let session = session();
        session.command(|core, now| core.close(now, GoAwayCode::REPLACED, ""));
        session
    }

    #[tokio::test]
    async fn a_dial_on_a_session_that_has_ended_goes_to_the_one_that_took_over() {
        let (old, new, found) = (ended(), session(), Cell::new(0));
        let newest = || {
            let before = found.replace(found.get() + 1);
            Ok(Arc::clone(if before == 0 { &old } else { &new }))
        };
        dial_newest(newest, "tcp/web:80", Duration::MAX).await.unwrap();
        assert_eq!(new.ledger().added, 1);
    }

    #[tokio::test]
    async fn a_dial_fails_where_nothing_took_over() {
        let old = ended();
        let result = dial_newest(|| Ok(Arc::clone(&old)), "tcp/web:80", Duration::MAX).await;
        assert!(matches!(result, Err(DialError::NotSent(OpenError::Closed))), "{result:?}");
        let result = dial_newest(|| Ok(session()), "tcp/web:80", Duration::ZERO).await;
        assert!(matches!(result, Err(DialError::Timeout)), "{result:?}");
    }
}
