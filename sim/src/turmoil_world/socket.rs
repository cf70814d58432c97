//! turmoil's TCP with the traits of real sockets: capacity, partial writes, slow lines, cuts.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use turmoil::net::TcpStream;
use watertight::simulation::{KernelSocket, TcpState};

use super::line::{Line, Side};

/// A socket of turmoil's that can be cut, holds so many bytes, and takes bytes in small portions.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    line: Arc<Line>,
    side: Side,
    /// The most bytes that one call takes.
    portion: usize,
    /// When more will have arrived by a slow line.
    trickle: Option<Pin<Box<Sleep>>>,
}

/// What a slow line carries in this time arrives at once.
const TRICKLE: Duration = Duration::from_millis(10);

impl Socket {
    pub(crate) fn new(stream: TcpStream, line: Arc<Line>, side: Side, portion: usize) -> Self {
        line.opened(side);
        Self { stream, line, side, portion, trickle: None }
    }

    fn check(&self) -> io::Result<()> {
        if self.line.is_cut() {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the line was cut"));
        }
        Ok(())
    }
}

impl KernelSocket for Socket {
    fn state(&self) -> Option<TcpState> {
        Some(self.line.tcp(self.side))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let socket = &mut *self;
        let room = match socket.line.arrived(socket.side) {
            Some(0) => {
                socket.line.reader(socket.side, cx.waker());
                let trickle = socket.trickle.get_or_insert_with(|| Box::pin(sleep(TRICKLE)));
                ready!(trickle.as_mut().poll(cx));
                socket.trickle = None;
                // What has arrived meanwhile is read at once.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(bytes) => bytes.min(buf.remaining()),
            None => buf.remaining(),
        };
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let polled = Pin::new(&mut socket.stream).poll_read(cx, &mut part);
        let read = part.filled().len();
        buf.advance(read);
        match polled {
            Poll::Pending => {
                socket.line.reader(socket.side, cx.waker());
                Poll::Pending
            }
            Poll::Ready(result) => {
                result?;
                socket.line.read(socket.side, read);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let room = self.line.room(self.side, cx.waker()).min(self.portion);
        if room == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        let socket = &mut *self;
        let part = buf.get(..room).unwrap_or(buf);
        let polled = Pin::new(&mut socket.stream).poll_write(cx, part);
        if polled.is_pending() {
            socket.line.writer(socket.side, cx.waker());
        }
        let written = ready!(polled)?;
        socket.line.wrote(socket.side, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.line.left(self.side);
    }
}
