//! The socket of a client, which can end in a reset.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

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

    /// Whether the kernel has sent all that was written. A reset discards what it has not.
    #[cfg(target_os = "linux")]
    pub(super) fn is_drained(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Self::Tcp(socket) = self else { return true };
        // With this option a socket is writable only once nothing is left to send.
        if socket2::SockRef::from(socket).set_tcp_notsent_lowat(1).is_err() {
            return true;
        }
        let mut sockets = [PollFd::new(socket, PollFlags::OUT)];
        // An error counts as drained: there is nothing to wait for.
        poll(&mut sockets, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_drained(&self) -> bool {
        true
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
