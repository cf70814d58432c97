//! Byte streams through the tunnel, and how they come about: by a dial, or by the answer to one.

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
pub(crate) use dial::{dial, dial_client};
pub use incoming::Incoming;
pub use split::{ReadHalf, StreamControl, WriteHalf};

/// One dialled connection through a tunnel.
///
/// - `shutdown` finishes this direction; the other one goes on until the remote finishes. The
///   far end must speak the extended dialect: toward a remotedialer end, which has no half-close,
///   the stream stays readable for as long as bytes arrive within the linger time.
/// - Dropping it is safe anywhere. After `shutdown`, what was written still arrives; before it,
///   the connection is reset, so that the remote cannot take a truncated stream for a whole
///   one.
/// - What was written is on its way: `flush` has nothing to do and is ready at once.
/// - An error carries the [`ConnectionEnd`](watertight_core::ConnectionEnd) as its source, and
///   the remote's words as its text.
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

    /// For what is logged about the connection.
    pub(crate) fn span(&self) -> &Span {
        self.read.span()
    }

    /// Waits for bytes and returns them as they arrived, without copying, at most `max` of them.
    /// `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// The connection ended before the remote had finished, or the read deadline has passed.
    pub async fn read_bytes(&mut self, max: usize) -> io::Result<Option<Bytes>> {
        self.read.read_bytes(max).await
    }

    /// Writes all of `data` without copying it, as room comes. Not cancel safe: how much was
    /// written is then unknown.
    ///
    /// # Errors
    /// The connection ended, this direction was shut down, or the write deadline has passed.
    pub async fn write_bytes(&mut self, data: Bytes) -> io::Result<()> {
        self.write.write_bytes(data).await
    }

    /// Polls for bytes as [`read_bytes`](Self::read_bytes) does. Empty at the end.
    ///
    /// # Errors
    /// See [`read_bytes`](Self::read_bytes).
    pub fn poll_read_bytes(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Bytes>> {
        self.read.poll_read_bytes(cx, max)
    }

    /// Writes from the front of `data`, without copying, what there is room for.
    ///
    /// # Errors
    /// See [`write_bytes`](Self::write_bytes).
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<io::Result<usize>> {
        self.write.poll_write_bytes(cx, data)
    }

    /// The books of a copy between this stream and a socket.
    pub(crate) fn in_hand(&self) -> InHand {
        self.read.in_hand()
    }

    /// Whether the remote can be told that one direction is finished.
    pub(crate) fn half_closes(&self) -> bool {
        self.read.half_closes()
    }

    /// Waits for room to write and says how much there is. It is a hint: the budget that all
    /// connections of the session share may be gone, or the remote may pause us, before the
    /// write.
    pub(crate) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.write.poll_writable(cx)
    }

    /// Waits until nothing more travels in either direction, and says whether everything that the
    /// other end sent has arrived. Takes the place of a blocked read.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.read.poll_ended(cx)
    }

    /// Two halves for two tasks. The connection ends with the last of them.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }

    /// A handle with which any task can set deadlines or reset the connection. It does not keep
    /// the connection alive.
    #[must_use]
    pub fn control(&self) -> StreamControl {
        self.read.control()
    }

    /// From `deadline` on, reads that would wait fail with [`io::ErrorKind::TimedOut`], and so
    /// does one that waits now. The stream itself stays whole; `None` takes the deadline back.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        self.read.set_deadline(deadline);
    }

    /// The same for writes. A write that timed out has taken nothing.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        self.write.set_deadline(deadline);
    }

    /// Ends both directions now and tells the remote why.
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
