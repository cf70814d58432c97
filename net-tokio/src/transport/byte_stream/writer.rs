use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use watertight_core::wire::{Encoded, frame_prefix};

use crate::transport::{Io, MAX_QUEUED};

/// Payloads shorter than this share one slice: for a copy of a few bytes the kernel would spend
/// more on the slice than the copy costs.
const COPY_BELOW: usize = 2 * 1024;

/// Slices of one write. Enough for all that may be queued: a Data message takes two.
const MAX_SLICES: usize = 64;

/// Room that is made for what is copied together.
const STAGE: usize = 4 * 1024;

/// Gathers messages and writes as many as possible with one system call.
///
/// Holds no memory while nothing is queued.
#[derive(Debug)]
pub(super) struct Writer {
    queue: VecDeque<Bytes>,
    /// Small pieces that are copied together; they follow `queue`.
    stage: BytesMut,
    /// The bytes of both.
    queued: usize,
    copy_below: usize,
}

impl Writer {
    /// Where the stream writes one slice at a time, everything is copied into one.
    pub(super) fn new(vectored: bool) -> Self {
        let copy_below = if vectored { COPY_BELOW } else { usize::MAX };
        Self { queue: VecDeque::new(), stage: BytesMut::new(), queued: 0, copy_below }
    }

    pub(super) fn push(&mut self, message: Encoded) {
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

    /// Writes only when there is no room: what is gathered longer leaves in fewer calls.
    pub(super) fn poll_ready<I: Io>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.queued >= MAX_QUEUED {
            ready!(self.poll_write(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush<I: Io>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
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
        let slices = slices.get(..used).unwrap_or_default();
        let written = ready!(Pin::new(io).poll_write_vectored(cx, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.queued = self.queued.saturating_sub(written);
        while let Some(front) = self.queue.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.queue.pop_front();
        }
    }

    fn copy(&mut self, bytes: &[u8]) {
        if self.stage.capacity() - self.stage.len() < bytes.len() {
            self.stage.reserve(STAGE.max(bytes.len()));
        }
        self.stage.extend_from_slice(bytes);
        self.queued += bytes.len();
    }

    fn seal(&mut self) {
        if !self.stage.is_empty() {
            self.queue.push_back(self.stage.split().freeze());
        }
    }

    /// Bytes of memory, used or not.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.stage.capacity() + self.queue.iter().map(Bytes::len).sum::<usize>()
    }

    fn release(&mut self) {
        self.stage = BytesMut::new();
        self.queue.shrink_to(4);
    }
}
