use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Sink;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::error::transport_error;
use crate::transport::{Io, MAX_QUEUED, TransportError};

/// What the library has no room for.
///
/// The library's write buffer also takes the pongs that it sends by itself, so a peer that pings
/// and does not read can fill it at any time. One message waits here until the next flush.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// At most one message: [`waits`](Self::waits) until it is flushed.
    waiting: VecDeque<Message>,
    /// Something was queued since the last flush.
    dirty: bool,
}

impl Outgoing {
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) const fn pong_queued(&mut self) {
        self.dirty = true;
    }

    /// A message that is longer than the write buffer goes out in fragments: it would never fit.
    pub(super) fn send_binary<I: Io>(
        &mut self,
        stream: &mut WebSocketStream<I>,
        message: Bytes,
    ) -> Result<(), TransportError> {
        if message.len() <= MAX_QUEUED {
            return self.send(stream, Message::Binary(message));
        }
        self.dirty = true;
        self.waiting.extend(fragments(message));
        Ok(())
    }

    pub(super) fn send<I: Io>(
        &mut self,
        stream: &mut WebSocketStream<I>,
        message: Message,
    ) -> Result<(), TransportError> {
        self.dirty = true;
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
                Some(message) => self.send(stream, message)?,
                None => self.dirty = false,
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn fragments(mut message: Bytes) -> impl Iterator<Item = Message> {
    let mut kind = Data::Binary;
    std::iter::from_fn(move || {
        let piece = message.split_to(message.len().min(MAX_QUEUED));
        let kind = std::mem::replace(&mut kind, Data::Continue);
        let frame = Frame::message(piece.clone(), OpCode::Data(kind), message.is_empty());
        (!piece.is_empty()).then_some(Message::Frame(frame))
    })
}
