//! A session on a byte stream: each message has its length in front.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use watertight_core::wire::Encoded;

use super::closing::Closing;
use super::{Io, Received, Transport, TransportError, poll_drain};
use crate::kernel::TcpState;
use reader::Reader;
use writer::Writer;

/// Messages on a byte stream.
///
/// Holds no buffer while nothing is under way. At most it holds one read chunk or one incomplete
/// message, and [`MAX_QUEUED`](super::MAX_QUEUED) plus what a caller sends at once.
#[derive(Debug)]
pub(crate) struct ByteStream<I> {
    io: I,
    reader: Reader,
    writer: Writer,
    closing: Closing,
}

impl<I: Io> ByteStream<I> {
    /// Messages on `io`, of at most `max_message` bytes from the remote. `leftover` is what was
    /// read beyond the preface.
    pub(crate) fn new(io: I, leftover: BytesMut, max_message: usize) -> Self {
        let writer = Writer::new(io.is_write_vectored());
        Self { io, reader: Reader::new(leftover, max_message), writer, closing: Closing::Open }
    }
}

impl<I: Io> Transport for ByteStream<I> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
        self.reader.poll_recv(&mut self.io, cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.writer.poll_ready(&mut self.io, cx).map_err(Into::into)
    }

    fn send(&mut self, message: Encoded) -> Result<(), TransportError> {
        self.writer.push(message);
        Ok(())
    }

    fn tcp(&self) -> Option<TcpState> {
        TcpState::below(self.io.as_any())
    }

    fn send_ping(&mut self, _payload: Bytes) -> Result<(), TransportError> {
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.writer.poll_flush(&mut self.io, cx).map_err(Into::into)
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _reason: &str,
    ) -> Poll<Result<(), TransportError>> {
        loop {
            self.closing = match self.closing {
                Closing::Open => Closing::Flushing,
                Closing::Flushing => {
                    ready!(self.poll_flush(cx))?;
                    Closing::ShuttingDown
                }
                Closing::ShuttingDown => {
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    Closing::Draining
                }
                Closing::Draining => {
                    ready!(poll_drain(&mut self.io, cx));
                    Closing::Done
                }
                Closing::Done => return Poll::Ready(Ok(())),
            };
        }
    }
}
