//! Messages on a WebSocket, each one binary message.
//!
//! # Why tokio-tungstenite
//!
//! Measured over loopback TCP with messages of 16 KiB, medians of interleaved rounds, CPU seconds a
//! GiB of both ends together (server to agent, unmasked / agent to server, masked):
//!
//! | library | CPU, s a GiB | 70-byte messages, millions a second |
//! | --- | --- | --- |
//! | length prefix and `writev`, no WebSocket | 0.41 / 0.41 | 3.7 |
//! | tokio-tungstenite 0.30 | 0.45 / 0.51 | 4.8 / 4.5 |
//! | tokio-websockets 0.13, 128 KiB threshold | 0.51 / 0.50 | 3.5 / 3.2 |
//! | fastwebsockets 0.10 | 0.83 / 0.87 | 0.22 (4.4 behind a `BufWriter`) |
//!
//! Under cancellation, 18,000 dropped operations in poll style lost or corrupted nothing with the
//! first two; a dropped read or write of fastwebsockets corrupts the stream within two messages,
//! and its reading waits for its own pongs to be written.
//!
//! tokio-tungstenite bounds everything: frame and message size before allocation, the write buffer
//! with the automatic pongs in it. It continues reading while the socket is not writable, and
//! reports an end of stream without Close. tokio-websockets is close, but its queue of pongs has no
//! bound and its read buffer no setting, and it continues delivering after a message that was too
//! long. fastwebsockets accepts unmasked frames as a server and bounds no sum of fragments.

mod outgoing;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::io::AsyncWrite;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, protocol};
use watertight_core::wire::{Dialect, Encoded};
use watertight_core::{Role, SessionConfig};

use super::{Closing, Received, Transport, TransportError, poll_drain};
use crate::io::{Io, Prefixed, tcp_below};
use crate::kernel::TcpState;

pub(crate) use outgoing::WRITE_BUFFER;
use outgoing::{MAX_WRITE_BUFFER, Outgoing};

/// The most bytes of one read. The library holds as many for each session, used or not, and clears
/// them before each read: two Data messages are a compromise with system calls.
const READ_BUFFER: usize = 32 * 1024;

/// Bytes of a message of an unauthenticated remote: a proof has fewer.
const MAX_PROOF: usize = 64;

/// Whether a connector masks what it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Masking {
    /// As RFC 6455 requires: the connector masks, the acceptor refuses unmasked frames.
    #[default]
    ByRole,
    /// No frame is masked, on either end. For simulations only: the masks come from a source of
    /// randomness without a seed, so that no two runs would have the same bytes.
    Off,
}

/// The limits of a WebSocket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebSocketOptions {
    /// The longest message that the remote may send in the base dialect.
    pub(crate) max_message: usize,
    /// The same in the extended one.
    pub(crate) max_extended: usize,
    /// The masking.
    pub(crate) masking: Masking,
    /// The bytes that the library queues before it writes by itself.
    pub(crate) write_buffer: usize,
}

impl WebSocketOptions {
    /// Messages of at most `max_message` bytes, masked by role.
    #[cfg(test)]
    pub(crate) const fn new(max_message: usize) -> Self {
        let (masking, write_buffer) = (Masking::ByRole, WRITE_BUFFER);
        Self { max_message, max_extended: max_message, masking, write_buffer }
    }

    /// Messages as long as a session with this configuration accepts.
    pub(crate) fn of_session(
        session: &SessionConfig,
        masking: Masking,
        write_buffer: usize,
    ) -> Self {
        Self {
            max_message: session.limits.max_message,
            max_extended: session.limits.max_message_in(Dialect::Extended),
            masking,
            write_buffer,
        }
    }

    /// The limits in this dialect.
    pub(crate) fn of(self, dialect: Dialect) -> Self {
        let max_message = match dialect {
            Dialect::Base => self.max_message,
            Dialect::Extended => self.max_extended,
        };
        Self { max_message, ..self }
    }

    /// The limits of a remote that must still prove its identity.
    pub(crate) const fn for_proof(self) -> Self {
        Self { max_message: MAX_PROOF, ..self }
    }

    pub(crate) fn config(self) -> WebSocketConfig {
        debug_assert!(self.write_buffer <= WRITE_BUFFER, "a fragment fits beside the buffer");
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(self.write_buffer)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_frame_size(Some(self.max_message))
            .max_message_size(Some(self.max_message))
            .accept_unmasked_frames(self.masking == Masking::Off)
    }

    const fn role(self, role: Role) -> protocol::Role {
        match (self.masking, role) {
            (Masking::ByRole, Role::Connector) => protocol::Role::Client,
            (Masking::Off, _) | (_, Role::Acceptor) => protocol::Role::Server,
        }
    }
}

/// Messages on a WebSocket.
///
/// Of the library's buffers an idle session keeps [`READ_BUFFER`], and up to 128 KiB for writing,
/// usually half, if it ever sent in bulk.
#[derive(Debug)]
pub(crate) struct WebSocket<I> {
    stream: WebSocketStream<Prefixed<I>>,
    outgoing: Outgoing,
    closing: Closing,
    /// The code of this end's Close: the violation, if the remote committed one.
    code: CloseCode,
    /// The remote sent Close; the answer is queued.
    closed: bool,
}

impl<I: Io> WebSocket<I> {
    /// A WebSocket on `io`, whose upgrade is done. `leftover` is what was read beyond it.
    pub(crate) async fn new(io: I, leftover: Bytes, role: Role, options: WebSocketOptions) -> Self {
        let (role, config) = (options.role(role), options.config());
        // The library's own handling of leftovers makes every later read buffer start too small.
        let io = Prefixed::new(leftover, io);
        let stream = WebSocketStream::from_raw_socket(io, role, Some(config)).await;
        Self {
            stream,
            outgoing: Outgoing::default(),
            closing: Closing::Open,
            code: CloseCode::Normal,
            closed: false,
        }
    }

    /// The stream below. The WebSocket's buffers must be empty, as they are after the proofs.
    pub(crate) fn into_io(self) -> I {
        debug_assert!(!self.outgoing.waits(), "proofs are flushed before the session begins");
        self.stream.into_inner().into_io()
    }

    /// Queues one binary message.
    pub(crate) fn send_bytes(&mut self, bytes: Bytes) -> Result<(), TransportError> {
        self.outgoing.send(&mut self.stream, Message::Binary(bytes))
    }

    /// Closes the WebSocket of a refused remote, with a reason.
    pub(crate) async fn refuse(mut self, reason: &str) -> Result<(), TransportError> {
        self.code = CloseCode::Policy;
        poll_fn(|cx| self.poll_close(cx, reason)).await
    }

    fn received(&mut self, message: Message) -> Result<Received, TransportError> {
        match message {
            Message::Binary(bytes) => Ok(Received::Message(bytes)),
            Message::Ping(_) => {
                self.outgoing.pong_queued();
                Ok(Received::Ping)
            }
            Message::Pong(payload) => Ok(Received::Pong(payload)),
            Message::Close(frame) => {
                self.outgoing.pong_queued();
                self.closed = true;
                Ok(Received::Closed { reason: close_reason(frame) })
            }
            Message::Text(_) | Message::Frame(_) => {
                self.code = CloseCode::Unsupported;
                Err(TransportError::Invalid("the remote sent a text message".into()))
            }
        }
    }

    /// A Close that does not fit into the buffer is lost, so it is sent only when nothing else is
    /// queued.
    fn queue_close(&mut self, reason: &str) -> Result<(), TransportError> {
        if self.closed {
            return Ok(());
        }
        debug_assert!(!self.outgoing.waits(), "a Close does not overtake messages");
        let reason = cut(reason, MAX_REASON).into();
        let close = Message::Close(Some(CloseFrame { code: self.code, reason }));
        self.outgoing.send(&mut self.stream, close)
    }

    /// Discards input until the remote's Close, which is the last of it: a remotedialer server
    /// answers this end's Close and leaves the socket open.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.closed {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Close(_))) => return Poll::Ready(()),
                Some(Ok(_)) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Err(_)) | None => self.closed = true,
            }
        }
        poll_drain(self.stream.get_mut(), cx)
    }
}

impl<I: Io> Transport for WebSocket<I> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(message)) => self.received(message),
            Some(Err(error)) => {
                self.code = close_code(&error);
                Err(transport_error(error))
            }
            None => Ok(Received::Closed { reason: "the WebSocket has ended".into() }),
        })
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.outgoing.waits() {
            ready!(self.poll_flush(cx))?;
        }
        Pin::new(&mut self.stream).poll_ready(cx).map_err(transport_error)
    }

    fn send(&mut self, message: Encoded) -> Result<(), TransportError> {
        self.outgoing.send_binary(&mut self.stream, &message)
    }

    fn tcp(&self) -> Option<TcpState> {
        tcp_below(self.stream.get_ref().io().as_any())
    }

    fn send_ping(&mut self, payload: Bytes) -> Result<(), TransportError> {
        debug_assert!(payload.len() <= 125, "a control frame has 125 bytes (RFC 6455, 5.5)");
        self.outgoing.send(&mut self.stream, Message::Ping(payload))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll_flush(&mut self.stream, cx)
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        reason: &str,
    ) -> Poll<Result<(), TransportError>> {
        loop {
            self.closing = match self.closing {
                Closing::Open => {
                    ready!(self.poll_flush(cx))?;
                    self.queue_close(reason)?;
                    Closing::Flushing
                }
                Closing::Flushing => {
                    ready!(self.poll_flush(cx))?;
                    Closing::ShuttingDown
                }
                Closing::ShuttingDown => {
                    ready!(Pin::new(self.stream.get_mut()).poll_shutdown(cx))?;
                    Closing::Draining
                }
                Closing::Draining => {
                    ready!(self.poll_drain(cx));
                    Closing::Done
                }
                Closing::Done => return Poll::Ready(Ok(())),
            };
        }
    }
}

/// A control frame has 125 bytes, two of which are the code.
const MAX_REASON: usize = 123;

fn cut(text: &str, max: usize) -> &str {
    let end = text.floor_char_boundary(max);
    text.get(..end).unwrap_or_default()
}

fn close_reason(frame: Option<CloseFrame>) -> String {
    match frame {
        None => "the remote closed the WebSocket".into(),
        Some(CloseFrame { code, reason }) if reason.is_empty() => {
            format!("the remote closed the WebSocket with code {code}")
        }
        Some(CloseFrame { code, reason }) => {
            format!("the remote closed the WebSocket with code {code}: {reason}")
        }
    }
}

pub(super) fn transport_error(error: Error) -> TransportError {
    match error {
        Error::Io(error) => error.into(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            let text = "the remote ended the connection without closing the WebSocket";
            io::Error::new(io::ErrorKind::UnexpectedEof, text).into()
        }
        Error::Protocol(ProtocolError::SendAfterClosing)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => {
            io::Error::new(io::ErrorKind::NotConnected, "the WebSocket is closed").into()
        }
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            let text =
                format!("the remote sent a message of {size} bytes, the limit is {max_size}");
            TransportError::Invalid(text)
        }
        error => {
            TransportError::Invalid(format!("the remote broke the WebSocket protocol: {error}"))
        }
    }
}

/// The code for the remote.
pub(super) const fn close_code(error: &Error) -> CloseCode {
    match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => CloseCode::Normal,
    }
}
