use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Io;

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

    /// What is below, once what was read is read again.
    pub(crate) fn into_io(self) -> I {
        self.io
    }

    /// What is below.
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
