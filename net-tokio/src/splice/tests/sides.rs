//! Splices without a tunnel stream, of sides that buffer bytes, and fail in every method.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf, duplex};
use tokio::time::{Instant, sleep, timeout};

use super::super::*;

/// A byte stream of which only reads and writes report anything.
struct Plain<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Side for Plain<S> {}

async fn plain<A, B>(a: A, b: B) -> io::Result<Spliced>
where
    A: AsyncRead + AsyncWrite + Unpin + Send,
    B: AsyncRead + AsyncWrite + Unpin + Send,
{
    splice_sides(Plain(a), Plain(b), Keepalive::OFF).await
}

#[tokio::test(start_paused = true)]
async fn everything_is_passed_on_in_both_directions() {
    let (client, a) = duplex(1000);
    let (b, target) = duplex(100_000);
    // A side that buffers bytes until it is flushed, as TLS may.
    let spliced = tokio::spawn(plain(a, BufWriter::new(b)));
    let up: Vec<u8> = (0..1 << 20).map(|at: u32| u8::try_from(at % 251).unwrap()).collect();
    let down: Vec<u8> = up.iter().rev().copied().collect();
    let end = async |mut io: tokio::io::DuplexStream, send: &[u8]| {
        let (mut read, mut write) = tokio::io::split(&mut io);
        let mut first = [0];
        let write = async {
            write.write_all(&[7]).await.unwrap();
            write.flush().await.unwrap();
            write.write_all(send).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let read = async {
            let mut received = Vec::new();
            read.read_exact(&mut first).await.unwrap();
            read.read_to_end(&mut received).await.unwrap();
            received
        };
        tokio::join!(write, read).1
    };
    let (at_client, at_target) = tokio::join!(end(client, &up), end(target, &down));
    assert!(at_client == down && at_target == up);
    spliced.await.unwrap().unwrap();
}

/// Accepts nothing: the kernel has reported that the remote has disconnected.
struct Broken;

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn n1_bytes_before_a_sides_failure_are_passed_on_but_not_as_complete() {
    let (mut client, mut a) = duplex(1000);
    let answer: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let b = tokio::io::join(io::Cursor::new(answer.clone()), Broken);
    client.write_all(b"more than it reads").await.unwrap();
    let (spliced, received) = tokio::join!(plain(&mut a, b), async {
        let mut received = vec![0; answer.len()];
        client.read_exact(&mut received).await.unwrap();
        received
    });
    assert_eq!(spliced.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(received, answer);
    let end = timeout(Duration::from_secs(1), client.read_u8()).await;
    assert!(end.is_err(), "the end was passed on");
    drop(a);
}

/// Sends something, and fails.
struct Failing(Option<&'static [u8]>);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let said = self.0.take().ok_or(io::ErrorKind::ConnectionReset)?;
        buffer.put_slice(said);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_before_a_sides_failure_are_flushed() {
    let (b, mut target) = duplex(1000);
    let a = tokio::io::join(Failing(Some(b"last words")), tokio::io::sink());
    let error = plain(a, BufWriter::new(b)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let mut received = String::new();
    target.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "last words");
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_does_not_end_does_not_keep_a_failed_connection() {
    let (b, _target) = duplex(5);
    let a = tokio::io::join(Failing(Some(b"last words")), tokio::io::sink());
    let start = Instant::now();
    plain(a, BufWriter::new(b)).await.unwrap_err();
    assert_eq!(start.elapsed(), LAST_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_byte_is_not_kept_back() {
    let (mut client, a) = duplex(1000);
    let (b, mut target) = duplex(1000);
    tokio::spawn(plain(a, BufWriter::new(b)));
    client.write_u8(7).await.unwrap();
    assert_eq!(target.read_u8().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_lasts_for_as_long_as_bytes_come() {
    let (mut client, a) = duplex(1000);
    let (b, mut target) = duplex(1000);
    let start = Instant::now();
    let spliced = tokio::spawn(plain(a, b));
    client.shutdown().await.unwrap();
    assert_eq!(target.read(&mut [0]).await.unwrap(), 0);
    for _ in 0..3 {
        sleep(Duration::from_secs(200)).await;
        target.write_u8(7).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 7);
    }
    let error = spliced.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(start.elapsed(), Duration::from_secs(3 * 200) + IDLE);
}
