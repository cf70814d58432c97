//! Dials of the remote, to be answered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::Span;
use watertight_core::session::InvalidState;
use watertight_core::wire::{Dialect, ResetCode};
use watertight_core::{ConnectionEnd, ConnectionId};

use super::TunnelStream;
use crate::session::Shared;

/// A dial of the remote that waits for an answer.
///
/// Dropping it refuses the dial.
#[derive(Debug)]
pub struct Incoming {
    shared: Arc<Shared>,
    id: ConnectionId,
    target: String,
    within: Duration,
    /// The application's stream once the dial is accepted; until then its drop refuses the dial.
    stream: TunnelStream,
}

impl Incoming {
    pub(crate) fn new(
        shared: Arc<Shared>,
        id: ConnectionId,
        target: String,
        within: Duration,
    ) -> Self {
        let stream = TunnelStream::new(Arc::clone(&shared), id, &target);
        Self { shared, id, target, within, stream }
    }

    /// The connection's id in its session.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The target that the remote requests, verbatim: `tcp/host:port`, `unix//path`, or any other
    /// form that the two ends agree on.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The timeout of the answer. After that the dial is refused.
    #[must_use]
    pub fn within(&self) -> Duration {
        self.within
    }

    /// Resolves when the remote, the timeout or the session's end has made an answer useless.
    /// Cancel safe.
    pub async fn withdrawn(&mut self) -> ConnectionEnd {
        poll_fn(|cx| self.poll_withdrawn(cx)).await
    }

    /// The dialect of the session.
    pub(crate) fn dialect(&self) -> Dialect {
        self.shared.lock().core.dialect()
    }

    pub(crate) fn span(&self) -> &Span {
        self.stream.span()
    }

    /// See [`Shared::may_log_refusal`].
    pub(crate) fn may_log_refusal(&self) -> Option<u64> {
        self.shared.may_log_refusal()
    }

    fn poll_withdrawn(&self, cx: &Context<'_>) -> Poll<ConnectionEnd> {
        let mut state = self.shared.lock();
        let Some(handle) = state.handle(self.id) else { return Poll::Pending };
        if let Some(end) = &handle.end {
            return Poll::Ready(end.clone());
        }
        handle.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Answers that the dial succeeded.
    ///
    /// # Errors
    ///
    /// The dial was withdrawn.
    pub fn accept(self) -> Result<TunnelStream, InvalidState> {
        self.shared.command(|core, now| core.accept(now, self.id))?;
        Ok(self.stream)
    }

    /// Answers that the dial failed or is not allowed, and why.
    pub fn refuse(self, code: ResetCode, reason: &str) {
        // A withdrawn dial needs no answer.
        self.shared.command(|core, now| core.refuse(now, self.id, code, reason)).ok();
    }
}
