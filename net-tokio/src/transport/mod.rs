//! What carries a session: whole messages over a byte stream or a WebSocket.
//!
//! A transport is polled by one task, the session's driver. Input never waits for output: a
//! transport whose socket takes nothing still delivers what arrives.

mod byte_stream;
mod closing;
mod prefixed;
mod web_socket;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use watertight_core::wire::Encoded;

use crate::kernel::TcpState;

pub(crate) use byte_stream::ByteStream;
pub(crate) use closing::poll_drain;
pub(crate) use prefixed::Prefixed;
pub(crate) use web_socket::{Masking, WRITE_BUFFER, WebSocket, WebSocketOptions};

/// Any byte stream that can carry a session.
///
/// Whoever makes a socket sets TCP_NODELAY: the messages of a session are already gathered, and
/// a kernel that waits for more only adds latency.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// For what depends on its kind: a TCP connection's kernel knows more than the stream tells.
    #[doc(hidden)]
    fn as_any(&self) -> &dyn Any;
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A byte stream of a kind that is known only at run time.
pub type BoxIo = Box<dyn Io>;

/// Queued bytes above which a transport has no room until the socket takes some. Enough to fill a
/// socket buffer in one write, little enough that a message in a retry_now does not wait behind it.
const MAX_QUEUED: usize = 128 * 1024;

/// What the remote sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// One message of the protocol.
    Message(Bytes),
    /// The WebSocket's ping. Its answer is queued and leaves with the next flush.
    Ping,
    /// The WebSocket's pong.
    Pong(Bytes),
    /// The remote ended the transport in an orderly way, and nothing more follows.
    Closed {
        /// Why, in its words where it has any.
        reason: String,
    },
}

/// Why a transport is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// The path between the ends failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The remote sent what is no message of this transport.
    #[error("{0}")]
    Invalid(String),
}

/// Whole messages in both directions.
///
/// Every error is final. Nothing is lost when a poll is not repeated.
pub(crate) trait Transport: Send + 'static {
    /// The next thing from the remote; never waits for output.
    ///
    /// After [`Received::Closed`] there is nothing more to receive, but what is queued can still
    /// be flushed.
    ///
    /// # Errors
    ///
    /// The path failed or the remote broke the transport's rules.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>>;

    /// Waits until there is room for one more message, and writes what is queued to make some.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Queues a message, behind those that were queued before. A batch of them at most after
    /// [`poll_ready`](Self::poll_ready): the bound on what is queued is the caller's to keep.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn send(&mut self, message: Encoded) -> Result<(), TransportError>;

    /// What the kernel knows of the TCP connection below, if it is one.
    fn tcp(&self) -> Option<TcpState>;

    /// Queues a WebSocket ping of at most 125 bytes; does nothing on a byte stream.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn send_ping(&mut self, payload: Bytes) -> Result<(), TransportError>;

    /// Hands everything that is queued to the socket.
    ///
    /// # Errors
    ///
    /// The path failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Ends the transport in an orderly way: flushes, says goodbye, shuts down the write side and
    /// discards what the remote still sends, until it ends its side as well.
    ///
    /// Waiting for the remote makes sure that it gets the last message: a socket that is closed
    /// with unread input resets the connection and takes what is in flight with it. The caller
    /// sets a deadline and drops the transport when that passes. Once begun, nothing more is sent
    /// or received; flushing is harmless, and so is calling this again after the end.
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
