//! Transports of a session: whole messages over a byte stream or a WebSocket.
//!
//! A transport is polled by one task, the session's driver. Input never waits for output: a
//! transport whose socket is not writable still delivers messages.

mod byte_stream;
#[cfg(test)]
mod tests;
mod web_socket;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use watertight_core::wire::Encoded;

use crate::kernel::TcpState;

pub(crate) use byte_stream::ByteStream;
pub(crate) use web_socket::{Masking, WRITE_BUFFER, WebSocket, WebSocketOptions};

/// Queued bytes above which a transport is not ready until the socket accepts some. Enough to fill
/// a socket buffer in one write, few enough that an urgent message does not wait behind them.
const MAX_QUEUED: usize = 128 * 1024;

/// Input of a transport.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// One message of the protocol.
    Message(Bytes),
    /// The WebSocket's ping. Its answer is queued and leaves with the next flush.
    Ping,
    /// The WebSocket's pong.
    Pong(Bytes),
    /// The remote closed the transport in order, and nothing more follows.
    Closed {
        /// The remote's reason, if it sent one.
        reason: String,
    },
}

/// Why a transport is unusable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The path between the ends failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The remote violated the framing of this transport.
    #[error("{0}")]
    Invalid(String),
}

/// Whole messages in both directions.
///
/// Every error is final. Nothing is lost when a poll is not repeated.
pub(crate) trait Transport: Send + 'static {
    /// The next input; never waits for output.
    ///
    /// After [`Received::Closed`] there is nothing more to receive, but the queue can still be
    /// flushed.
    ///
    /// # Errors
    ///
    /// The path failed or the remote broke the transport's rules.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>>;

    /// Waits until one more message can be queued, and writes the queue for that.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Queues a message, behind earlier ones. A batch of them at most after
    /// [`poll_ready`](Self::poll_ready): the caller bounds the queue.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn send(&mut self, message: Encoded) -> Result<(), TransportError>;

    /// The kernel's state of the TCP connection below, if there is one.
    fn tcp(&self) -> Option<TcpState>;

    /// Queues a WebSocket ping of at most 125 bytes; does nothing on a byte stream.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn send_ping(&mut self, payload: Bytes) -> Result<(), TransportError>;

    /// Hands the whole queue to the socket.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Closes the transport in order: flushes, sends the close message, shuts down the write side
    /// and discards input, until the remote closes its side as well.
    ///
    /// Waiting for the remote ensures that it receives the last message: a socket that is closed
    /// with unread input resets the connection and loses what is in flight. The caller sets a
    /// deadline and drops the transport when that passes. Once begun, nothing more is sent or
    /// received; flushing is harmless, and so is calling this again after the end.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        reason: &str,
    ) -> Poll<Result<(), TransportError>>;
}

/// Reads of one poll. A remote that never stops sending must not monopolise the task.
const MAX_READS: usize = 64;

/// The progress of closing a transport in order.
///
/// ```text
/// Open ──▶ Flushing ──▶ ShuttingDown ──▶ Draining ──▶ Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// It has not begun.
    Open,
    /// The queue, the close message included, is being written.
    Flushing,
    /// The write side is being shut down.
    ShuttingDown,
    /// Input is discarded.
    Draining,
    /// Nothing is left to do.
    Done,
}

/// Discards input until its end.
pub(crate) fn poll_drain(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..MAX_READS {
        if !ready!(poll_discard(io, cx)) {
            return Poll::Ready(());
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// `false` at the end of the input.
fn poll_discard(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<bool> {
    let mut space = [0; 4096];
    let mut buffer = ReadBuf::new(&mut space);
    let read = ready!(Pin::new(io).poll_read(cx, &mut buffer));
    Poll::Ready(read.is_ok() && !buffer.filled().is_empty())
}
