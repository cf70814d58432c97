//! The connection to a target, which the HTTP library and its owner share.
//!
//! The library knows neither half-close, nor an answer to a request that could not be sent whole, nor one
//! that does not wait for the request. A direct connection has all three: the owner ends its write side
//! when the client has ended its own, continues to read when a write has failed, because the answer may have
//! arrived before, and lets the library read once it has begun to write.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;
use watertight::BoxIo;

use super::super::answer::Guarded;

/// A handle to the connection.
#[derive(Clone)]
pub(super) struct Target(Arc<Mutex<State>>);

struct State {
    io: BoxIo,
    /// Bytes that it has taken.
    passed: Arc<AtomicU64>,
    request: Request,
    /// Reads when the request has begun.
    reader: Option<Waker>,
    /// A write has failed; later writes are discarded.
    deaf: bool,
    shut_down: bool,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Nothing of it is written.
    Awaited,
    /// Its head is written, at least in part.
    Begun,
    /// The library has all of it. It is written with the next flush.
    Ended {
        begun: bool,
    },
    Sent,
}

impl Target {
    /// Counts in `passed` what the target takes.
    pub(super) fn new(io: BoxIo, passed: Arc<AtomicU64>) -> Self {
        let (request, reader) = (Request::Awaited, None);
        let state = State { io, passed, request, reader, deaf: false, shut_down: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The byte stream for the library. There is one.
    pub(super) fn wire(&self) -> TargetIo {
        TargetIo(self.clone())
    }

    /// Runs the library's `connection` to its end. Once the client has `finished` its side and the
    /// request is sent, the write side ends as well.
    pub(super) async fn run<C, E>(
        &self,
        connection: C,
        finished: impl Future<Output = ()>,
    ) -> C::Output
    where
        C: Future<Output = Result<(), E>>,
    {
        let (mut connection, mut finished) = (pin!(connection), pin!(finished));
        let mut is_finished = false;
        poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            is_finished = is_finished || finished.as_mut().poll(cx).is_ready();
            let mut state = self.lock();
            if is_finished && state.request == Request::Sent {
                // Where it fails, reading does as well.
                let _ = state.poll_shutdown(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// The lock guards what is consistent after each statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Waits for the beginning of the request, and reads.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if matches!(self.request, Request::Awaited | Request::Ended { begun: false }) {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.deaf && !self.shut_down {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.shut_down = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes by `write` what has `length` bytes.
    fn poll_write(
        &mut self,
        length: usize,
        write: impl FnOnce(Pin<&mut BoxIo>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.request = match self.request {
            Request::Awaited => Request::Begun,
            Request::Ended { .. } => Request::Ended { begun: true },
            other => other,
        };
        self.reader.take().into_iter().for_each(Waker::wake);
        if self.deaf && self.request != Request::Sent {
            return Poll::Ready(Ok(length));
        }
        match ready!(write(Pin::new(&mut self.io))) {
            Ok(written) => {
                self.passed.fetch_add(written as u64, Ordering::Relaxed);
                Poll::Ready(Ok(written))
            }
            // An upgraded connection is not the library's.
            Err(error) if self.request == Request::Sent => Poll::Ready(Err(error)),
            Err(error) => {
                debug!(%error, "the target takes no more of the request; its answer may be there");
                self.deaf = true;
                Poll::Ready(Ok(length))
            }
        }
    }
}

/// The connection as the library reads and writes it.
pub(super) struct TargetIo(Target);

impl AsyncRead for TargetIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(cx, buffer)
    }
}

impl AsyncWrite for TargetIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(data.len(), |io| io.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        self.0.lock().poll_write(length, |io| io.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().io.is_write_vectored()
    }

    /// The library calls this once it has no more to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if !state.deaf {
            ready!(Pin::new(&mut state.io).poll_flush(cx))?;
        }
        if state.request == (Request::Ended { begun: true }) {
            state.request = Request::Sent;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_shutdown(cx)
    }
}

/// Marks the end of a request when the library drops its body, once it has all of it.
pub(super) struct RequestEnd(Target);

/// The body of a request to `target`.
pub(super) fn request_body(incoming: Incoming, target: Target) -> Guarded<Incoming, RequestEnd> {
    Guarded::new(incoming, RequestEnd(target))
}

impl Drop for RequestEnd {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.request = Request::Ended { begun: state.request == Request::Begun };
    }
}
