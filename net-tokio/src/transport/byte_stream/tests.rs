//! The byte stream's framing, coalescing and memory.

use std::io::{self, IoSlice};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};

use watertight_core::wire::frame_prefix;

use super::*;
use crate::transport::tests::{
    MAX_MESSAGE, byte_stream, byte_streams, flush, next_message, numbered, recv,
};

#[tokio::test]
async fn bytes_beyond_the_handshake_come_first() {
    let (a, mut b) = duplex(64);
    let mut transport = ByteStream::new(a, BytesMut::from(&b"\x02hi\x03o"[..]), MAX_MESSAGE);
    b.write_all(b"ne\x01!").await.unwrap();
    for message in ["hi", "one", "!"] {
        assert_eq!(next_message(&mut transport).await, message);
    }
}

#[tokio::test]
async fn an_end_between_messages_is_orderly() {
    let (a, mut b) = duplex(64);
    let mut transport = byte_stream(a);
    b.write_all(b"\x02hi").await.unwrap();
    drop(b);
    assert_eq!(next_message(&mut transport).await, "hi");
    for _ in 0..2 {
        let received = recv(&mut transport).await.unwrap();
        assert!(matches!(received, Received::Closed { .. }), "{received:?}");
    }
}

#[tokio::test]
async fn an_end_inside_a_message_is_none() {
    for start in [&b"\x02h"[..], b"\x02", b"\x80"] {
        let (a, mut b) = duplex(64);
        let mut transport = byte_stream(a);
        b.write_all(start).await.unwrap();
        drop(b);
        let error = recv(&mut transport).await.unwrap_err();
        let TransportError::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn invalid_lengths_are_the_remotes_fault() {
    for start in [&b"\0"[..], b"\x81\0", b"\xff\xff\xff\xff\x01"] {
        let (a, mut b) = duplex(64);
        let mut transport = byte_stream(a);
        b.write_all(start).await.unwrap();
        for _ in 0..2 {
            let error = recv(&mut transport).await.unwrap_err();
            assert!(matches!(error, TransportError::Invalid(_)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn bytes_after_a_long_message_do_not_keep_its_memory() {
    let (a, mut b) = duplex(2 * MAX_MESSAGE);
    let mut transport = byte_stream(a);
    b.write_all(&frame_prefix(MAX_MESSAGE)).await.unwrap();
    b.write_all(&vec![7; MAX_MESSAGE]).await.unwrap();
    b.write_all(&frame_prefix(5000)).await.unwrap();
    b.write_all(&[8; 5000]).await.unwrap();
    let long = next_message(&mut transport).await;
    assert_eq!(long.len(), MAX_MESSAGE);
    let short = next_message(&mut transport).await;
    assert_eq!(short.len(), 5000);
    assert!(long.is_unique(), "the short one is no slice of its buffer");
}

#[tokio::test]
async fn small_messages_share_a_write() {
    let (a, mut b) = duplex(1 << 20);
    let mut transport = byte_stream(Writes { inner: a, calls: 0 });
    for number in 0..1_000 {
        transport.send(numbered(number, 64)).unwrap();
    }
    flush(&mut transport).await;
    assert_eq!(transport.io.calls, 1);
    let mut first = [0; 5];
    b.read_exact(&mut first).await.unwrap();
    assert_eq!(first[..1], [68]);
}

#[tokio::test]
async fn payloads_share_a_write_without_a_copy() {
    let (a, mut b) = duplex(1 << 20);
    let mut transport = byte_stream(Writes { inner: a, calls: 0 });
    for number in 0..8 {
        transport.send(numbered(number, 16_384)).unwrap();
    }
    flush(&mut transport).await;
    assert_eq!(transport.io.calls, 1);
    let mut read = vec![0; 8 * 16_384];
    b.read_exact(&mut read).await.unwrap();
}

#[tokio::test]
async fn an_idle_transport_holds_no_buffer() {
    let (mut one, mut other) = byte_streams(1 << 20);
    for number in 0..100 {
        one.send(numbered(number, 10_000)).unwrap();
        flush(&mut one).await;
        next_message(&mut other).await;
    }
    assert!(futures_util::poll!(Box::pin(recv(&mut other))).is_pending());
    assert_eq!(other.reader.buffer.capacity(), 0);
    assert_eq!(one.writer.held(), 0);
}

#[tokio::test]
async fn an_incomplete_message_keeps_little_memory() {
    let (mut one, mut other) = byte_streams(1 << 20);
    for number in 0..100 {
        one.send(numbered(number, 10_000)).unwrap();
    }
    flush(&mut one).await;
    one.io.write_all(b"\x7fbegun").await.unwrap();
    for _ in 0..100 {
        next_message(&mut other).await;
    }
    assert!(futures_util::poll!(Box::pin(recv(&mut other))).is_pending());
    assert!(other.reader.buffer.capacity() <= 64, "{}", other.reader.buffer.capacity());
}

/// Counts the calls that write.
struct Writes<I> {
    inner: I,
    calls: usize,
}

impl<I: Io> AsyncRead for Writes<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<I: Io> AsyncWrite for Writes<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls += 1;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
