//! The socket of a client, which can end in a reset.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use watertight::TcpState;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Applies an operation to the socket of either kind.
macro_rules! each {
    ($socket:expr, $io:ident => $operation:expr) => {
        match $socket {
            Socket::Tcp($io) => $operation,
            Socket::Unix($io) => $operation,
        }
    };
}

impl Socket {
    /// Makes the coming close a reset, so that the client does not take a cut answer for a whole
    /// one. A Unix socket has no reset: its close is an end of file.
    pub(super) fn reset(&self) {
        if let Self::Tcp(socket) = self {
            // Best effort: the socket is about to be closed.
            socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).ok();
        }
    }

    /// Why the client is disconnected, for a socket that is not read. The kernel reports an error once.
    pub(super) fn failure(&self) -> Option<ErrorKind> {
        let error = each!(self, io => io.take_error()).ok().flatten();
        error.map(|error| error.kind())
    }

    /// Whether both directions have ended. The close of a Unix socket is no error.
    pub(super) fn is_let_go(&self) -> bool {
        let Self::Unix(socket) = self else { return false };
        let ready = pin!(socket.ready(Interest::READABLE | Interest::WRITABLE));
        // A single poll, without a wait.
        let ready = ready.poll(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_write_closed())
    }

    /// The kernel's state of a TCP connection.
    pub(super) fn tcp(&self) -> Option<TcpState> {
        match self {
            Self::Tcp(socket) => TcpState::of(socket),
            Self::Unix(_) => None,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, io => io.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}
