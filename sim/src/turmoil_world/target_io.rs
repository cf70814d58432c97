use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::deviation::Deviation;
use super::seat::Seat;
use crate::player::Desire;

/// A target's socket, as the agent sees it that dialled it: what the agent reads, the target writes.
#[derive(Debug)]
pub(super) struct TargetIo {
    seat: Arc<Seat>,
    /// What is wrong with what copies to and from it.
    deviation: Deviation,
}

impl TargetIo {
    pub(super) const fn new(seat: Arc<Seat>, deviation: Deviation) -> Self {
        Self { seat, deviation }
    }

    /// The target has reset its connection.
    fn reset<T>(&self) -> Poll<io::Result<T>> {
        if self.deviation == Deviation::ResetSwallowed {
            return Poll::Pending;
        }
        let what = "the target reset its connection";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, what)))
    }

    /// What the target writes is read no more, and lost.
    fn lose_all(&self) {
        let mut state = self.seat.lock();
        while let Desire::Write(bytes) = state.player.desire() {
            state.player.wrote(bytes);
        }
        state.player.finished();
    }
}

impl AsyncRead for TargetIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deviation == Deviation::EofEndsBoth && self.seat.lock().player.end().eof {
            self.lose_all();
            return Poll::Ready(Ok(()));
        }
        let mut state = self.seat.lock();
        if state.player.end().let_go {
            return self.reset();
        }
        match state.player.desire() {
            Desire::Write(bytes) => {
                let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(buf.remaining());
                let mut chunk = Vec::new();
                self.seat.pattern().append(state.player.end().written, length, &mut chunk);
                buf.put_slice(&chunk);
                state.player.wrote(length as u64);
                Poll::Ready(Ok(()))
            }
            Desire::Finish => {
                state.player.finished();
                Poll::Ready(Ok(()))
            }
            Desire::Reset | Desire::Drop => {
                state.player.gone();
                let writer = state.other_waker.take();
                drop(state);
                if let Some(writer) = writer {
                    writer.wake();
                }
                self.reset()
            }
            Desire::Nothing if state.player.end().finished => Poll::Ready(Ok(())),
            Desire::Nothing => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for TargetIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.seat.lock();
        if matches!(state.player.desire(), Desire::Reset | Desire::Drop) {
            state.player.gone();
        }
        if state.player.end().let_go {
            return self.reset();
        }
        let appetite = usize::try_from(state.player.appetite()).unwrap_or(usize::MAX);
        let taken = buf.get(..appetite).unwrap_or(buf);
        if taken.is_empty() && !buf.is_empty() {
            state.other_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.seat.took(&mut state, taken);
        let reader = state.waker.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket that reads no more never gets to the end of file.
        let reads = self.seat.lock().player.appetite() > 0;
        if reads {
            self.seat.tell(crate::Player::saw_eof);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TargetIo {
    fn drop(&mut self) {
        let mut state = self.seat.lock();
        if !state.player.end().is_over() {
            state.player.broke("its socket was closed");
        }
        let wakers = (state.waker.take(), state.other_waker.take());
        drop(state);
        drop(wakers);
    }
}
