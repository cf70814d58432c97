//! The outgoing messages of a WebSocket.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::Sink;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use watertight_core::wire::Encoded;

use super::transport_error;
use crate::io::Io;
use crate::transport::TransportError;

/// Bytes that the library queues before it writes by itself. It keeps a buffer of this size for
/// each session that ever had so much to send; a larger one saves no measurable work.
pub(crate) const WRITE_BUFFER: usize = 48 * 1024;

/// Bounds the write buffer with the automatic pongs in it: a pong that does not fit replaces the
/// one before it.
pub(super) const MAX_WRITE_BUFFER: usize = 128 * 1024;

/// A longer message is sent in fragments, since it must fit beside a full write buffer.
const FRAGMENT: usize = 64 * 1024;
const _: () = assert!(WRITE_BUFFER + FRAGMENT < MAX_WRITE_BUFFER, "a fragment fits beside it");

/// Messages that do not fit into the library's write buffer.
///
/// That buffer also takes the pongs that the library sends by itself, so a remote that pings and
/// does not read can fill it at any time. Later messages are queued here until it is flushed.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// At most what a caller sends before it checks [`waits`](Self::waits).
    waiting: VecDeque<Message>,
    /// Something was queued since the last flush.
    dirty: bool,
    /// The buffer that joins header and payload of a message. The library copies out of it at once,
    /// so each message finds it in the cache.
    joined: BytesMut,
}

impl Outgoing {
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) const fn pong_queued(&mut self) {
        self.dirty = true;
    }

    pub(super) fn send_binary<I: Io>(
        &mut self,
        stream: &mut WebSocketStream<I>,
        message: &Encoded,
    ) -> Result<(), TransportError> {
        let whole = self.join(message);
        if whole.len() <= FRAGMENT {
            return self.send(stream, Message::Binary(whole));
        }
        self.dirty = true;
        self.waiting.extend(fragments(whole));
        Ok(())
    }

    fn join(&mut self, message: &Encoded) -> Bytes {
        debug_assert!(self.joined.is_empty(), "a joined message leaves the buffer");
        self.joined.reserve(message.len());
        self.joined.extend_from_slice(&message.header);
        self.joined.extend_from_slice(&message.payload);
        self.joined.split().freeze()
    }

    pub(super) fn send<I: Io>(
        &mut self,
        stream: &mut WebSocketStream<I>,
        message: Message,
    ) -> Result<(), TransportError> {
        self.dirty = true;
        if self.waits() {
            // This message may fit, but must not overtake the others.
            self.waiting.push_back(message);
            return Ok(());
        }
        self.try_send(stream, message)
    }

    fn try_send<I: Io>(
        &mut self,
        stream: &mut WebSocketStream<I>,
        message: Message,
    ) -> Result<(), TransportError> {
        debug_assert!(self.dirty, "a message makes a flush due");
        match Pin::new(stream).start_send(message) {
            Err(Error::WriteBufferFull(message)) => {
                self.waiting.push_front(*message);
                Ok(())
            }
            sent => sent.map_err(transport_error),
        }
    }

    pub(super) fn poll_flush<I: Io>(
        &mut self,
        stream: &mut WebSocketStream<I>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        while self.dirty {
            ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(transport_error)?;
            match self.waiting.pop_front() {
                Some(message) => self.try_send(stream, message)?,
                None => {
                    self.dirty = false;
                    self.joined = BytesMut::new();
                }
            }
        }
        debug_assert!(self.waiting.is_empty(), "a flush hands over all messages");
        Poll::Ready(Ok(()))
    }
}

fn fragments(mut message: Bytes) -> impl Iterator<Item = Message> {
    debug_assert!(message.len() > FRAGMENT, "a message that fits is sent as one");
    let mut kind = Data::Binary;
    std::iter::from_fn(move || {
        let piece = message.split_to(message.len().min(FRAGMENT));
        let kind = std::mem::replace(&mut kind, Data::Continue);
        let frame = Frame::message(piece.clone(), OpCode::Data(kind), message.is_empty());
        (!piece.is_empty()).then_some(Message::Frame(frame))
    })
}
