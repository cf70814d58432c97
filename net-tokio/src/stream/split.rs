//! The halves of a stream, and its control handle.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tracing::Span;
use watertight_core::ConnectionId;
use watertight_core::wire::ResetCode;

use super::handle::{Direction, Handle, StreamError, Timer};
use crate::session::{InHand, Shared};

/// The reading half of a [`TunnelStream`](crate::TunnelStream).
#[derive(Debug)]
pub struct ReadHalf {
    handle: Arc<Handle>,
    timer: Timer,
}

/// The writing half of a [`TunnelStream`](crate::TunnelStream).
///
/// Dropping it does not finish the direction; `shutdown` does.
#[derive(Debug)]
pub struct WriteHalf {
    handle: Arc<Handle>,
    timer: Timer,
}

/// Sets deadlines on a stream, or resets it, from any task.
#[derive(Clone, Debug)]
pub struct StreamControl {
    handle: Weak<Handle>,
}

pub(super) fn halves(shared: Arc<Shared>, id: ConnectionId, target: &str) -> (ReadHalf, WriteHalf) {
    let handle = Arc::new(Handle::new(shared, id, target));
    let read = ReadHalf { handle: Arc::clone(&handle), timer: Timer::default() };
    (read, WriteHalf { handle, timer: Timer::default() })
}

impl ReadHalf {
    pub(super) fn span(&self) -> &Span {
        self.handle.span()
    }

    /// See [`TunnelStream::read_bytes`](crate::TunnelStream::read_bytes). Cancel safe.
    ///
    /// # Errors
    ///
    /// The connection ended before the remote had finished, or the read deadline has passed.
    pub async fn read_bytes(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        let data = poll_fn(|cx| self.poll_read_bytes(cx, max)).await?;
        Ok((!data.is_empty()).then_some(data))
    }

    /// See [`TunnelStream::poll_read_bytes`](crate::TunnelStream::poll_read_bytes).
    ///
    /// # Errors
    ///
    /// As for [`read_bytes`](Self::read_bytes).
    pub fn poll_read_bytes(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Bytes, StreamError>> {
        self.handle.poll_read(cx, max, &mut self.timer)
    }

    /// Whether nothing more is in transit, and then whether everything had arrived.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.handle.poll_ended(cx)
    }

    pub(super) fn in_hand(&self) -> InHand {
        self.handle.in_hand()
    }

    pub(super) fn half_closes(&self) -> bool {
        self.handle.half_closes()
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.handle.id()
    }

    pub(super) fn control(&self) -> StreamControl {
        StreamControl { handle: Arc::downgrade(&self.handle) }
    }

    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        self.handle.set_deadline(Direction::Read, deadline);
    }

    pub(super) fn reset(&self, code: ResetCode, reason: &str) {
        self.handle.reset(code, reason);
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let data = ready!(self.poll_read_bytes(cx, buf.remaining()))?;
        buf.put_slice(&data);
        Poll::Ready(Ok(()))
    }
}

impl WriteHalf {
    /// See [`TunnelStream::write_bytes`](crate::TunnelStream::write_bytes). Not cancel safe.
    ///
    /// # Errors
    ///
    /// The connection ended, this direction was shut down, or the write deadline has passed.
    pub async fn write_bytes(&mut self, mut data: Bytes) -> Result<(), StreamError> {
        while !data.is_empty() {
            poll_fn(|cx| self.poll_write_bytes(cx, &mut data)).await?;
        }
        Ok(())
    }

    /// See [`TunnelStream::poll_write_bytes`](crate::TunnelStream::poll_write_bytes).
    ///
    /// # Errors
    ///
    /// As for [`write_bytes`](Self::write_bytes).
    pub fn poll_write_bytes(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
    ) -> Poll<Result<usize, StreamError>> {
        let front = |writable: usize| data.slice(..writable.min(data.len()));
        let written = ready!(self.handle.poll_write(cx, &mut self.timer, front))?;
        debug_assert!(written > 0 || data.is_empty(), "a write that is not blocked takes bytes");
        data.advance(written);
        Poll::Ready(Ok(written))
    }

    /// See [`TunnelStream::poll_writable`](crate::TunnelStream::poll_writable).
    pub(crate) fn poll_writable(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, StreamError>> {
        self.handle.poll_writable(cx, &mut self.timer)
    }

    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        self.handle.set_deadline(Direction::Write, deadline);
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let half = &mut *self;
        half.handle
            .poll_write(cx, &mut half.timer, |writable| {
                Bytes::copy_from_slice(buf.get(..writable).unwrap_or(buf))
            })
            .map_err(Into::into)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let half = &mut *self;
        half.handle
            .poll_write(cx, &mut half.timer, |writable| coalesce(bufs, writable))
            .map_err(Into::into)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Written bytes are sent without a flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.handle.finish().map_err(Into::into))
    }
}

fn coalesce(bufs: &[IoSlice<'_>], writable: usize) -> Bytes {
    let total = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(writable);
    let mut coalesced = BytesMut::with_capacity(total);
    for buf in bufs {
        let left = total - coalesced.len();
        coalesced.extend_from_slice(buf.get(..left).unwrap_or(buf));
    }
    debug_assert_eq!(coalesced.len(), total, "the slices have as many bytes as were counted");
    coalesced.freeze()
}

impl StreamControl {
    /// See [`TunnelStream::set_read_deadline`](crate::TunnelStream::set_read_deadline).
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        if let Some(handle) = self.handle.upgrade() {
            handle.set_deadline(Direction::Read, deadline);
        }
    }

    /// See [`TunnelStream::set_write_deadline`](crate::TunnelStream::set_write_deadline).
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        if let Some(handle) = self.handle.upgrade() {
            handle.set_deadline(Direction::Write, deadline);
        }
    }

    /// Whether the connection has failed or was removed, for callers that do not read it at the
    /// moment.
    #[doc(hidden)]
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.handle.upgrade().is_none_or(|handle| handle.is_cut())
    }

    /// See [`TunnelStream::reset`](crate::TunnelStream::reset).
    pub fn reset(&self, code: ResetCode, reason: &str) {
        if let Some(handle) = self.handle.upgrade() {
            handle.reset(code, reason);
        }
    }
}
