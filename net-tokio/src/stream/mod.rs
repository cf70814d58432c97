//! Byte streams through the tunnel, made by a dial, or by accepting one.

mod dial;
mod handle;
mod incoming;
mod split;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tracing::Span;
use watertight_core::ConnectionId;
use watertight_core::wire::ResetCode;

use crate::session::{InHand, Shared};

pub use dial::DialError;
#[cfg(test)]
pub(crate) use dial::dial;
pub(crate) use dial::{dial_client, dial_newest, is_stale};
pub use handle::StreamError;
pub use incoming::Incoming;
pub use split::{ReadHalf, StreamControl, WriteHalf};

/// One dialled connection through a tunnel.
///
/// - `shutdown` finishes this direction; the other one stays open until the remote finishes. The
///   far end must speak the extended dialect: toward a remotedialer end, which has no half-close,
///   the stream stays readable for as long as bytes arrive within the linger timeout.
/// - Dropping it is safe anywhere. After `shutdown`, written bytes still arrive; before it, the
///   connection is reset, so that the remote does not mistake a truncated stream for a complete
///   one.
/// - Written bytes are sent without a `flush`, which is ready at once.
/// - An error is a [`StreamError`], also as the source of an [`io::Error`] unless the connection
///   has ended: then the source is the [`ConnectionEnd`](watertight_core::ConnectionEnd), and the
///   text the remote's reason.
///
/// Reads and writes through `AsyncRead` and `AsyncWrite` are cancel safe: a dropped future has
/// taken or given no byte.
#[derive(Debug)]
pub struct TunnelStream {
    read: ReadHalf,
    write: WriteHalf,
}

impl TunnelStream {
    pub(crate) fn new(shared: Arc<Shared>, id: ConnectionId, target: &str) -> Self {
        let (read, write) = split::halves(shared, id, target);
        Self { read, write }
    }

    /// The connection's id in its session.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.read.id()
    }

    /// The span of log lines about the connection.
    pub(crate) fn span(&self) -> &Span {
        self.read.span()
    }

    /// Waits for bytes and returns them as they arrived, without copying, at most `max` of them.
    /// `None` at the end. Cancel safe.
    ///
    /// # Errors
    ///
    /// The connection ended before the remote had finished, or the read deadline has passed.
    pub async fn read_bytes(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        self.read.read_bytes(max).await
    }

    /// Writes all of `data` without copying it, as the connection becomes writable. Not cancel
    /// safe: the number of written bytes is then unknown.
    ///
    /// # Errors
    ///
    /// The connection ended, this direction was shut down, or the write deadline has passed.
    pub async fn write_bytes(&mut self, data: Bytes) -> Result<(), StreamError> {
        self.write.write_bytes(data).await
    }

    /// Polls for bytes as [`read_bytes`](Self::read_bytes) does. Empty at the end.
    ///
    /// # Errors
    ///
    /// See [`read_bytes`](Self::read_bytes).
    pub fn poll_read_bytes(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Bytes, StreamError>> {
        self.read.poll_read_bytes(cx, max)
    }

    /// Writes from the front of `data`, without copying, as much as is writable.
    ///
    /// # Errors
    ///
    /// See [`write_bytes`](Self::write_bytes).
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<usize, StreamError>> {
        self.write.poll_write_bytes(cx, data)
    }

    /// The account of a splice of this stream and a socket.
    pub(crate) fn in_hand(&self) -> InHand {
        self.read.in_hand()
    }

    /// Whether the dialect can carry the end of one direction.
    pub(crate) fn half_closes(&self) -> bool {
        self.read.half_closes()
    }

    /// Waits until the connection is writable, and returns the number of bytes. It is a hint: the
    /// budget that all connections of the session share may be used up, or the remote may pause
    /// this end, before the write.
    pub(crate) fn poll_writable(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, StreamError>> {
        self.write.poll_writable(cx)
    }

    /// Waits until nothing more is in transit in either direction, and returns whether everything
    /// that the remote sent has arrived. Replaces the waker of a blocked read.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.read.poll_ended(cx)
    }

    /// Two halves for two tasks. The connection ends with the last of them.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }

    /// A handle with which any task can set deadlines or reset the connection. It does not keep the
    /// connection alive.
    #[must_use]
    pub fn control(&self) -> StreamControl {
        self.read.control()
    }

    /// From `deadline` on, reads that would block fail with [`StreamError::DeadlinePassed`], and so
    /// does a read that is blocked now. The stream stays usable; `None` removes the deadline.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.read.set_deadline(deadline);
    }

    /// The same for writes. A write that timed out has taken no byte.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.write.set_deadline(deadline);
    }

    /// Ends both directions now, and sends the remote the reason.
    pub fn reset(self, code: ResetCode, reason: &str) {
        self.read.reset(code, reason);
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}
