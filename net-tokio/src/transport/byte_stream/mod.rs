//! Messages on a byte stream, each with its length in front.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use watertight_core::wire::{Encoded, InvalidFrame, decode_frame, frame_prefix};

use super::{Closing, MAX_QUEUED, Received, Transport, TransportError, poll_drain};
use crate::io::{Io, tcp_below};
use crate::kernel::TcpState;

/// Messages on a byte stream.
///
/// Holds no buffer while nothing is in transit. At most it holds one read chunk or one incomplete
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
        tcp_below(self.io.as_any())
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

/// The space of a read while messages arrive one at a time.
const MIN_CHUNK: usize = 4 * 1024;

/// The space of a read while they arrive faster than they are read: four Data messages a syscall.
const MAX_CHUNK: usize = 64 * 1024;
const _: () = assert!((MAX_CHUNK / MIN_CHUNK).is_power_of_two(), "doubling ends at it");

/// The beginning of a message is moved out of its chunk while the rest is awaited, if it is no
/// longer than this: otherwise it would keep all of the chunk alive.
const MAX_MOVED: usize = 1024;
const _: () = assert!(MAX_MOVED < MIN_CHUNK / 2, "moved bytes leave space for a read");

/// Cuts messages out of chunks without copying them.
///
/// A chunk is allocated for a read and freed when the read finds nothing, so an idle session holds
/// none; an allocation costs a small part of the system call that it is for. Its size follows the
/// traffic.
#[derive(Debug)]
struct Reader {
    buffer: BytesMut,
    chunk: usize,
    max_message: usize,
    ended: bool,
}

impl Reader {
    const fn new(leftover: BytesMut, max_message: usize) -> Self {
        Self { buffer: leftover, chunk: MIN_CHUNK, max_message, ended: false }
    }

    fn poll_recv<I: Io>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, TransportError>> {
        loop {
            if let Some(message) = decode_frame(&mut self.buffer, self.max_message)? {
                if message.len() > MAX_CHUNK {
                    // Bytes after a long message must not keep its buffer alive.
                    self.buffer = BytesMut::from(&*self.buffer);
                }
                return Poll::Ready(Ok(Received::Message(message)));
            }
            if self.ended {
                return Poll::Ready(self.end());
            }
            ready!(self.poll_fill(io, cx))?;
        }
    }

    fn end(&self) -> Result<Received, TransportError> {
        if self.buffer.is_empty() {
            return Ok(Received::Closed { reason: "the remote ended the stream".into() });
        }
        let text = "the remote ended the stream inside a message";
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into())
    }

    fn poll_fill<I: Io>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        debug_assert!(!self.ended, "the end of a stream is read once");
        let space = self.make_space();
        debug_assert!(space > 0, "a read without space would return the end");
        // The future holds only its borrows: dropping it cancels the wait.
        let Poll::Ready(read) = pin!(io.read_buf(&mut self.buffer)).poll(cx) else {
            self.release();
            return Poll::Pending;
        };
        let read = read?;
        self.ended = read == 0;
        self.adapt(space, read);
        Poll::Ready(Ok(()))
    }

    /// Half a chunk at least, so that the end of a chunk is not filled by many small reads. An
    /// incomplete message is moved once, and the buffer of a long one grows with its received
    /// bytes: its length alone costs the remote nothing.
    fn make_space(&mut self) -> usize {
        if self.buffer.capacity() - self.buffer.len() < self.chunk / 2 {
            let mut chunk = BytesMut::with_capacity(self.chunk.max(2 * self.buffer.len()));
            chunk.extend_from_slice(&self.buffer);
            self.buffer = chunk;
        }
        self.buffer.capacity() - self.buffer.len()
    }

    const fn adapt(&mut self, space: usize, read: usize) {
        debug_assert!(read <= space, "a read fits into the space");
        if read == space && self.chunk < MAX_CHUNK {
            self.chunk *= 2;
        } else if read < self.chunk / 4 && self.chunk > MIN_CHUNK {
            self.chunk /= 2;
        }
        debug_assert!(MIN_CHUNK <= self.chunk && self.chunk <= MAX_CHUNK, "a chunk is bounded");
    }

    fn release(&mut self) {
        if self.buffer.len() <= MAX_MOVED {
            self.buffer = BytesMut::from(&*self.buffer);
        }
    }
}

impl From<InvalidFrame> for TransportError {
    fn from(error: InvalidFrame) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// Payloads shorter than this share one slice: for a copy of a few bytes the kernel would spend
/// more on the slice than the copy costs.
const COPY_BELOW: usize = 2 * 1024;

/// Slices of one write. Enough for all that may be queued: a Data message takes two.
const MAX_SLICES: usize = 64;

/// The capacity that is reserved for small pieces.
const COPY_CAPACITY: usize = 4 * 1024;
const _: () = assert!(COPY_BELOW < COPY_CAPACITY, "a short payload fits beside its header");

/// Coalesces messages, and writes as many as possible with one system call.
///
/// Holds no memory while nothing is queued.
#[derive(Debug)]
struct Writer {
    queue: VecDeque<Bytes>,
    /// Small pieces that are copied together; they follow `queue`.
    copied: BytesMut,
    /// The bytes of both.
    queued: usize,
    copy_below: usize,
}

impl Writer {
    /// If the stream writes one slice at a time, everything is copied into one.
    fn new(vectored: bool) -> Self {
        let copy_below = if vectored { COPY_BELOW } else { usize::MAX };
        Self { queue: VecDeque::new(), copied: BytesMut::new(), queued: 0, copy_below }
    }

    fn push(&mut self, message: Encoded) {
        self.copy(&frame_prefix(message.len()));
        self.copy(&message.header);
        if message.payload.len() < self.copy_below {
            self.copy(&message.payload);
        } else {
            self.seal();
            self.queued += message.payload.len();
            self.queue.push_back(message.payload);
        }
    }

    /// Writes only when the queue is full: a longer queue leaves in fewer calls.
    fn poll_ready<I: Io>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.queued >= MAX_QUEUED {
            ready!(self.poll_write(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush<I: Io>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.queued > 0 {
            ready!(self.poll_write(io, cx))?;
        }
        self.release();
        Pin::new(io).poll_flush(cx)
    }

    fn poll_write<I: Io>(&mut self, io: &mut I, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.seal();
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        debug_assert!(used > 0, "only a queue with bytes is written");
        let slices = slices.get(..used).unwrap_or_default();
        let written = ready!(Pin::new(io).poll_write_vectored(cx, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        debug_assert!(written <= self.queued, "a write takes at most the queued bytes");
        debug_assert!(self.copied.is_empty(), "copied bytes are queued before a write");
        self.queued = self.queued.saturating_sub(written);
        while let Some(front) = self.queue.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
        debug_assert_eq!(written + self.queued, 0, "an empty queue has no bytes");
    }

    fn copy(&mut self, bytes: &[u8]) {
        if self.copied.capacity() - self.copied.len() < bytes.len() {
            self.copied.reserve(COPY_CAPACITY.max(bytes.len()));
        }
        self.copied.extend_from_slice(bytes);
        self.queued += bytes.len();
    }

    fn seal(&mut self) {
        if !self.copied.is_empty() {
            self.queue.push_back(self.copied.split().freeze());
        }
    }

    /// Bytes of memory, used or not.
    #[cfg(test)]
    fn held(&self) -> usize {
        self.copied.capacity() + self.queue.iter().map(Bytes::len).sum::<usize>()
    }

    fn release(&mut self) {
        debug_assert!(self.queue.is_empty() && self.copied.is_empty(), "queued bytes are kept");
        self.copied = BytesMut::new();
        self.queue.shrink_to(4);
    }
}
