//! Two connections whose bytes are passed on to each other as they come.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};

use super::super::watch::LAST_BYTES;

/// How long a connection may be idle of which one direction has ended. Upgraded protocols say
/// goodbye in both; one that does not must not stay for ever.
const HALF_CLOSED: Duration = Duration::from_secs(300);

/// What one read asks for. It is on the stack: an idle connection has no buffer.
const CHUNK: usize = 16 << 10;

/// How many steps a direction may take before it lets other tasks run.
const STEPS: usize = 32;

/// Passes bytes on until both directions have ended.
///
/// A side that takes nothing any more may have said something before: it is read to its end, and what
/// it said is passed on, before its failure ends the other direction.
///
/// A side that is not read is looked at by `watch`, which is ready when there is something new to read
/// or write, or that a side is given up.
///
/// # Errors
/// The first failure of either side, or that a half-closed connection was idle for too long. The end
/// of the other direction has not been passed on then. Dropping the two is up to the caller in any case.
pub(super) async fn splice<A, B>(
    a: A,
    b: B,
    mut watch: impl FnMut(&mut Context<'_>, Unread) -> Poll<io::Result<()>>,
) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut there, mut back) = (Direction::default(), Direction::default());
    let mut idle = Idle::default();
    let result = poll_fn(|cx| {
        loop {
            let there_is_done =
                there.poll(cx, a.as_mut(), b.as_mut(), back.failure.is_none())?.is_ready();
            let back_is_done =
                back.poll(cx, b.as_mut(), a.as_mut(), there.failure.is_none())?.is_ready();
            if there_is_done && back_is_done {
                let failure = there.failure.take().or(back.failure.take());
                return Poll::Ready(failure.map_or(Ok(()), Err));
            }
            let half_closed = there_is_done || back_is_done;
            if half_closed && let Poll::Ready(over) = idle.poll(cx, there.passed + back.passed) {
                return Poll::Ready(over);
            }
            let unread = Unread { a: !there.reads(), b: !back.reads() };
            ready!(watch(cx, unread))?;
        }
    })
    .await;
    if result.is_err() {
        flush(a, b).await;
    }
    result
}

/// The sides that are not read at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    pub(super) a: bool,
    pub(super) b: bool,
}

/// What was written before a failure goes out: TLS may hold it back until the remote takes more.
async fn flush(mut a: impl AsyncWrite + Unpin, mut b: impl AsyncWrite + Unpin) {
    let flushes = async { tokio::join!(a.flush(), b.flush()) };
    // One of the two has failed.
    timeout(LAST_BYTES, flushes).await.ok();
}

/// One direction, and how far it has come.
#[derive(Debug, Default)]
struct Direction {
    stage: Stage,
    /// Read, and not yet written.
    in_hand: Bytes,
    /// Whether something that was written may not be on its way.
    unflushed: bool,
    passed: u64,
    /// Why nothing more can be passed on.
    failure: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Flowing,
    /// The end has been read, and is yet to be passed on.
    Finishing,
    Done,
}

impl Direction {
    /// Whether it learns of a failure by reading.
    fn reads(&self) -> bool {
        matches!(self.stage, Stage::Flowing) && self.in_hand.is_empty() && self.failure.is_none()
    }

    fn poll<R: AsyncRead, W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
        passes_end: bool,
    ) -> Poll<io::Result<()>> {
        for _ in 0..STEPS {
            if self.failure.is_some() {
                return Poll::Ready(Ok(()));
            }
            if !self.in_hand.is_empty() {
                self.failure = ready!(self.poll_write(cx, to.as_mut())).err();
                continue;
            }
            match self.stage {
                Stage::Flowing => match read(cx, from.as_mut())? {
                    Poll::Ready(data) if data.is_empty() => self.stage = Stage::Finishing,
                    Poll::Ready(data) => self.in_hand = data,
                    Poll::Pending => {
                        self.failure = ready!(self.poll_flush(cx, to.as_mut())).err();
                    }
                },
                // What came before a failure is not whole.
                Stage::Finishing if !passes_end => {
                    ready!(to.as_mut().poll_flush(cx))?;
                    self.stage = Stage::Done;
                }
                Stage::Finishing => {
                    self.failure = ready!(to.as_mut().poll_shutdown(cx)).err();
                    self.stage = Stage::Done;
                }
                Stage::Done => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        let written = ready!(to.poll_write(cx, &self.in_hand))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.in_hand.advance(written);
        if self.in_hand.is_empty() {
            self.in_hand = Bytes::new();
        }
        self.unflushed = true;
        self.passed += written as u64;
        Poll::Ready(Ok(()))
    }

    /// There is nothing to read: what has been written goes out. Never the end.
    fn poll_flush<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(to.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }
}

/// Reads what there is; empty at the end.
fn read<R: AsyncRead>(cx: &mut Context<'_>, from: Pin<&mut R>) -> io::Result<Poll<Bytes>> {
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut chunk = ReadBuf::uninit(&mut chunk);
    let read = from.poll_read(cx, &mut chunk)?;
    Ok(read.map(|()| Bytes::copy_from_slice(chunk.filled())))
}

/// Runs from the last byte on.
#[derive(Default)]
struct Idle {
    passed: u64,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn poll(&mut self, cx: &mut Context<'_>, passed: u64) -> Poll<io::Result<()>> {
        if self.passed != passed {
            self.passed = passed;
            self.sleep = None;
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(HALF_CLOSED)));
        let text = "one direction had ended, and the other one was idle for too long";
        sleep.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, duplex};
    use tokio::time::Instant;

    use super::*;

    fn unwatched(_: &mut Context<'_>, _: Unread) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_passed_on_both_ways() {
        let (client, a) = duplex(1000);
        let (b, target) = duplex(100_000);
        // A side that keeps what it was given until it is flushed, as TLS may.
        let spliced = tokio::spawn(splice(a, BufWriter::new(b), unwatched));
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

    /// Takes nothing: the kernel has told that the remote is gone.
    struct Broken;

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn n1_what_a_side_said_before_it_failed_is_passed_on_and_not_as_a_whole() {
        let (mut client, mut a) = duplex(1000);
        let answer: Vec<u8> = (0..100_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let b = tokio::io::join(io::Cursor::new(answer.clone()), Broken);
        client.write_all(b"more than it reads").await.unwrap();
        let (spliced, received) = tokio::join!(splice(&mut a, b, unwatched), async {
            let mut received = vec![0; answer.len()];
            client.read_exact(&mut received).await.unwrap();
            received
        });
        assert_eq!(spliced.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(received, answer);
        let end = timeout(Duration::from_secs(1), client.read_u8()).await;
        assert!(end.is_err(), "the end was passed on");
        drop(a);
    }

    /// Says something, and fails.
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
    async fn what_a_side_said_before_it_failed_is_flushed() {
        let (b, mut target) = duplex(1000);
        let a = tokio::io::join(Failing(Some(b"last words")), tokio::io::sink());
        let error = splice(a, BufWriter::new(b), unwatched).await.unwrap_err();
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
        splice(a, BufWriter::new(b), unwatched).await.unwrap_err();
        assert_eq!(start.elapsed(), LAST_BYTES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_is_not_kept_back() {
        let (mut client, a) = duplex(1000);
        let (b, mut target) = duplex(1000);
        tokio::spawn(splice(a, BufWriter::new(b), unwatched));
        client.write_u8(7).await.unwrap();
        assert_eq!(target.read_u8().await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_closed_connection_lasts_for_as_long_as_bytes_come() {
        let (mut client, a) = duplex(1000);
        let (b, mut target) = duplex(1000);
        let start = Instant::now();
        let spliced = tokio::spawn(splice(a, b, unwatched));
        client.shutdown().await.unwrap();
        assert_eq!(target.read(&mut [0]).await.unwrap(), 0);
        for _ in 0..3 {
            sleep(Duration::from_secs(200)).await;
            target.write_u8(7).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), 7);
        }
        let error = spliced.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), Duration::from_secs(3 * 200) + HALF_CLOSED);
    }
}
