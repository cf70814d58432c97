//! Streams that stand in for a kernel's sockets, in simulations.

#![cfg_attr(
    not(feature = "simulation"),
    allow(dead_code, unreachable_pub, reason = "only a simulation makes such a socket")
)]

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::kernel::TcpState;

/// What is done with a kernel's socket, besides reading and writing: all of it with that of a copy, and
/// with a session's transport only what tells its state.
pub trait KernelSocket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the coming close a reset, as SO_LINGER with a time of zero does.
    fn abort(&self) {}

    /// The error that waits to be reported, as SO_ERROR gives it: once.
    fn failure(&self) -> Option<io::Error> {
        None
    }

    /// Probes an idle connection, whose machine has vanished if it says nothing for so long.
    fn keepalive(&self, _silence: Duration) {}

    /// What the kernel knows of it.
    fn state(&self) -> Option<TcpState>;
}

/// A stream that is treated as a TCP connection is.
pub struct SimulatedSocket(Box<dyn KernelSocket>);

impl SimulatedSocket {
    /// Stands in for a TCP connection.
    pub fn new(socket: impl KernelSocket + 'static) -> Self {
        Self(Box::new(socket))
    }

    pub(crate) fn kernel(&self) -> &dyn KernelSocket {
        &*self.0
    }
}

impl fmt::Debug for SimulatedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedSocket")
    }
}

impl AsyncRead for SimulatedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for SimulatedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
