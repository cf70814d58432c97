use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use watertight_core::wire::{InvalidFrame, decode_frame};

use crate::transport::{Io, Received, TransportError};

/// The space of a read while messages come one at a time.
const MIN_CHUNK: usize = 4 * 1024;

/// The space of a read while they come faster than they are read: four Data messages a syscall.
const MAX_CHUNK: usize = 64 * 1024;

/// Bytes that begin a message are moved out of a chunk while the rest of it is awaited, if there
/// are no more of them than this: otherwise they would keep all of the chunk alive.
const MAX_MOVED: usize = 1024;

/// Cuts messages out of chunks without copying them.
///
/// A chunk is allocated for a read and given back when the read finds nothing, so an idle session
/// holds none; an allocation costs a small part of the system call that it is for. Its size follows
/// the traffic.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) buffer: BytesMut,
    chunk: usize,
    max_message: usize,
    ended: bool,
}

impl Reader {
    pub(super) const fn new(leftover: BytesMut, max_message: usize) -> Self {
        Self { buffer: leftover, chunk: MIN_CHUNK, max_message, ended: false }
    }

    pub(super) fn poll_recv<I: Io>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, TransportError>> {
        loop {
            if let Some(message) = decode_frame(&mut self.buffer, self.max_message)? {
                if message.len() > MAX_CHUNK {
                    // What follows a long message must not keep its buffer alive.
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
        let space = self.make_space();
        // The future holds nothing but what it borrows: to drop it is to stop waiting.
        let Poll::Ready(read) = pin!(io.read_buf(&mut self.buffer)).poll(cx) else {
            self.release();
            return Poll::Pending;
        };
        let read = read?;
        self.ended = read == 0;
        self.adapt(space, read);
        Poll::Ready(Ok(()))
    }

    /// Half a chunk at least, so that the end of a chunk is not filled by many small reads. What has
    /// begun is moved once, and a long message gets room by what has come of it: its length alone
    /// costs the remote nothing.
    fn make_space(&mut self) -> usize {
        if self.buffer.capacity() - self.buffer.len() < self.chunk / 2 {
            let mut chunk = BytesMut::with_capacity(self.chunk.max(2 * self.buffer.len()));
            chunk.extend_from_slice(&self.buffer);
            self.buffer = chunk;
        }
        self.buffer.capacity() - self.buffer.len()
    }

    const fn adapt(&mut self, space: usize, read: usize) {
        if read == space && self.chunk < MAX_CHUNK {
            self.chunk *= 2;
        } else if read < self.chunk / 4 && self.chunk > MIN_CHUNK {
            self.chunk /= 2;
        }
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
