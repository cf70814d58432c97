//! Byte streams of any type, and the TCP connection below one.

#![cfg_attr(
    not(feature = "simulation"),
    allow(dead_code, unreachable_pub, reason = "only a simulation makes such a socket")
)]

use std::any::Any;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::kernel::TcpState;

/// Any byte stream that can carry a session.
///
/// Set TCP_NODELAY on a socket: the messages of a session are coalesced already, and a kernel that
/// waits for more only adds latency.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// For the kernel's state of a TCP connection, which the stream's own methods do not have.
    #[doc(hidden)]
    fn as_any(&self) -> &dyn Any;
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A byte stream of a kind that is known only at run time.
pub type BoxIo = Box<dyn Io>;

/// The TCP connection below a byte stream.
pub(crate) enum Below<'a> {
    Tcp(&'a TcpStream),
    Simulated(&'a dyn KernelSocket),
}

impl<'a> Below<'a> {
    /// `None` if there is none.
    pub(crate) fn of(io: &'a dyn Any) -> Option<Self> {
        if let Some(socket) = io.downcast_ref() {
            return Some(Self::Tcp(socket));
        }
        if let Some(boxed) = io.downcast_ref::<BoxIo>() {
            return Self::of((**boxed).as_any());
        }
        if let Some(simulated) = io.downcast_ref::<SimulatedSocket>() {
            return Some(Self::Simulated(simulated.kernel()));
        }
        if let Some(prefixed) = io.downcast_ref::<Prefixed<BoxIo>>() {
            return Self::of(prefixed.io());
        }
        if let Some(tls) = io.downcast_ref::<client::TlsStream<TcpStream>>() {
            return Some(Self::Tcp(tls.get_ref().0));
        }
        if let Some(tls) = io.downcast_ref::<client::TlsStream<BoxIo>>() {
            return Self::of(tls.get_ref().0);
        }
        let tls = io.downcast_ref::<server::TlsStream<BoxIo>>()?;
        Self::of(tls.get_ref().0)
    }
}

/// The state of the TCP connection below a byte stream. `None` if there is none, or the kernel
/// cannot be asked.
pub(crate) fn tcp_below(io: &dyn Any) -> Option<TcpState> {
    match Below::of(io)? {
        Below::Tcp(socket) => TcpState::of(socket),
        Below::Simulated(socket) => socket.state(),
    }
}

/// A byte stream whose first bytes were read already, and are read again.
#[derive(Debug)]
pub(crate) struct Prefixed<I> {
    prefix: Bytes,
    io: I,
}

impl<I> Prefixed<I> {
    /// A byte stream that begins with `prefix`.
    pub(crate) const fn new(prefix: Bytes, io: I) -> Self {
        Self { prefix, io }
    }

    /// The stream below. The prefix must have been read.
    pub(crate) fn into_io(self) -> I {
        self.io
    }

    /// The stream below.
    pub(crate) const fn io(&self) -> &I {
        &self.io
    }
}

impl<I: Io> Prefixed<I> {
    /// Waits for the first byte. Not cancel safe: the stream is lost.
    pub(crate) async fn peek(mut io: I) -> io::Result<(Self, u8)> {
        let first = io.read_u8().await?;
        Ok((Self::new(Bytes::copy_from_slice(&[first]), io), first))
    }
}

impl<I: Io> AsyncRead for Prefixed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.prefix.len().min(buf.remaining());
        if length > 0 {
            buf.put_slice(&self.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: Io> AsyncWrite for Prefixed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Operations on a kernel's socket, besides reading and writing. A splice uses all of them, a
/// session's transport only the state.
pub trait KernelSocket: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the coming close a reset, as SO_LINGER with a time of zero does.
    fn abort(&self) {}

    /// The pending error, as SO_ERROR returns it: once.
    fn failure(&self) -> Option<io::Error> {
        None
    }

    /// Probes an idle connection. Its machine has vanished if it does not answer for so long.
    fn keepalive(&self, _silence: Duration) {}

    /// The kernel's state of the connection.
    fn state(&self) -> Option<TcpState>;
}

/// A stream that is handled as a TCP connection is.
pub struct SimulatedSocket(Box<dyn KernelSocket>);

impl SimulatedSocket {
    /// Replaces a TCP connection.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};

    #[tokio::test]
    async fn the_prefix_is_read_in_parts() {
        let (a, mut b) = duplex(16);
        b.write_all(b"rest").await.unwrap();
        let mut prefixed = Prefixed::new(Bytes::from_static(b"prefix"), a);
        let mut part = [0; 4];
        assert_eq!(prefixed.read(&mut part).await.unwrap(), 4);
        assert_eq!(prefixed.read(&mut []).await.unwrap(), 0);
        let mut part = [0; 6];
        prefixed.read_exact(&mut part).await.unwrap();
        assert_eq!(part, *b"ixrest");
    }

    #[tokio::test]
    async fn the_first_byte_is_read_again() {
        let (a, mut b) = duplex(16);
        b.write_all(b"\0rest").await.unwrap();
        drop(b);
        let (mut prefixed, first) = Prefixed::peek(a).await.unwrap();
        let mut all = Vec::new();
        prefixed.read_to_end(&mut all).await.unwrap();
        assert_eq!((first, all.as_slice()), (0, &b"\0rest"[..]));
    }
}
