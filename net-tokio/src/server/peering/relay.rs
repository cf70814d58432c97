//! Copies between two tunnel streams, both ways, in one task.
//!
//! What arrives is passed on as it arrived, and taken only when it can go on: nothing is parked
//! here, and what has no room stays with whoever sends it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Sleep, sleep};
use tracing::debug;
use watertight_core::ConnectionEnd;
use watertight_core::wire::ResetCode;

use crate::copy::{LAST_BYTES, SOME};
use crate::stream::{ReadHalf, StreamControl, TunnelStream, WriteHalf};

/// How one direction came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    /// The end was passed on. The other direction goes on.
    End,
    /// The stream takes nothing more. How it ended is for the other direction to say, which may
    /// have bytes to deliver first.
    Dead,
}

/// Copies until both directions have finished, or one fails. A reset of one stream resets the other
/// one, with the same code and words.
///
/// A dialler that has finished still gets the answer, even of a client that cannot be told: that one
/// is listened to for a while. A target that has finished ends the connection toward a dialler that
/// cannot be told of one direction, as it does where that one dials it directly.
///
/// Dropping the future resets both: nobody takes a truncated stream for a whole one.
pub(super) async fn relay(dialler: TunnelStream, target: TunnelStream) {
    let half_closes = dialler.half_closes();
    let controls = [dialler.control(), target.control()];
    let (mut dialler_read, mut dialler_write) = dialler.into_split();
    let (mut target_read, mut target_write) = target.into_split();
    let up = pass(&mut dialler_read, &mut target_write);
    let down = pass(&mut target_read, &mut dialler_write);
    match both(up, down, half_closes).await {
        Ok(()) => debug!("connection finished"),
        Err(error) => {
            debug!(%error, "connection failed");
            reset(&controls, &error);
        }
    }
}

/// Both directions; the end of the second one is that of the first one, too, unless it `half_closes`.
async fn both(
    up: impl Future<Output = io::Result<Passed>>,
    down: impl Future<Output = io::Result<Passed>>,
    half_closes: bool,
) -> io::Result<()> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_done, mut down_done) = (false, false);
    poll_fn(|cx| {
        if !up_done && up.as_mut().poll(cx)?.is_ready() {
            up_done = true;
        }
        if !down_done && let Poll::Ready(passed) = down.as_mut().poll(cx)? {
            down_done = true;
            up_done |= passed == Passed::End && !half_closes;
        }
        if up_done && down_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
///
/// # Errors
/// The stream that is read failed.
async fn pass(from: &mut ReadHalf, to: &mut WriteHalf) -> io::Result<Passed> {
    let mut last_bytes = LastBytes::default();
    loop {
        let room = poll_fn(|cx| unless_over(to.poll_writable(cx), from, &mut last_bytes, cx)).await;
        let Some(room) = room else { return Err(failure(from).await) };
        let Ok(room) = room else { return Ok(Passed::Dead) };
        let Some(piece) = next(from, to, room).await else { return Ok(Passed::Dead) };
        let mut piece = piece?;
        if piece.is_empty() {
            return Ok(if to.shutdown().await.is_ok() { Passed::End } else { Passed::Dead });
        }
        // The room may be gone: the remote has paused us, or another connection has taken it.
        while !piece.is_empty() {
            let write = |cx: &mut Context<'_>| {
                unless_over(to.poll_write_bytes(cx, &mut piece), from, &mut last_bytes, cx)
            };
            match poll_fn(write).await {
                Some(Ok(taken)) => last_bytes.took(taken as u64),
                Some(Err(_)) => return Ok(Passed::Dead),
                None => return Err(failure(from).await),
            }
        }
        // Streams that are always ready let other tasks run.
        tokio::task::coop::consume_budget().await;
    }
}

/// What a blocked write comes to; `None` if the stream that is read has failed in the meantime, and
/// what came before that has had its time.
fn unless_over<T>(
    write: Poll<T>,
    from: &ReadHalf,
    last_bytes: &mut LastBytes,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    match write {
        Poll::Ready(written) => Poll::Ready(Some(written)),
        Poll::Pending => last_bytes.poll_over(from, cx).map(|()| None),
    }
}

/// The time for what came before a stream's failure, which begins anew with each movement.
#[derive(Default)]
struct LastBytes {
    time: Option<Pin<Box<Sleep>>>,
    taken: u64,
}

impl LastBytes {
    fn took(&mut self, bytes: u64) {
        self.taken += bytes;
        if self.taken >= SOME {
            *self = Self::default();
        }
    }

    /// A clean end can wait for its turn.
    fn poll_over(&mut self, from: &ReadHalf, cx: &mut Context<'_>) -> Poll<()> {
        if self.time.is_none() && from.poll_ended(cx) == Poll::Ready(false) {
            self.time = Some(Box::pin(sleep(LAST_BYTES)));
        }
        self.time.as_mut().map_or(Poll::Pending, |time| time.as_mut().poll(cx))
    }
}

/// How a stream failed, without what came before that.
async fn failure(from: &mut ReadHalf) -> io::Error {
    loop {
        match from.read_bytes(usize::MAX).await {
            Ok(Some(_)) => {}
            Ok(None) => return io::ErrorKind::UnexpectedEof.into(),
            Err(error) => return error,
        }
    }
}

/// What comes next, empty at the end; `None` if there is no use in it any more.
async fn next(from: &mut ReadHalf, to: &WriteHalf, room: usize) -> Option<io::Result<Bytes>> {
    poll_fn(|cx| match from.poll_read_bytes(cx, room) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => to.poll_closed(cx).map(|()| None),
    })
    .await
}

/// Passes a failure on. The stream that failed cannot be reset any more.
fn reset(streams: &[StreamControl], error: &io::Error) {
    let end = error.get_ref().and_then(|source| source.downcast_ref::<ConnectionEnd>());
    let code = end.and_then(|end| end.code).unwrap_or(ResetCode::CANCELLED);
    let text = error.to_string();
    streams.iter().for_each(|stream| stream.reset(code, &text));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    use super::*;
    use crate::session::tests::Pair;

    /// A dialler and a target, and what runs between them.
    struct Relayed {
        pairs: [Pair; 2],
        dialler: TunnelStream,
        target: TunnelStream,
        relay: tokio::task::JoinHandle<()>,
    }

    impl Relayed {
        async fn start() -> Self {
            let (mut one, mut other) = (Pair::start(), Pair::start());
            let ((near, dialler), (far, target)) =
                (one.connection().await, other.connection().await);
            let relay = tokio::spawn(relay(near, far));
            Self { pairs: [one, other], dialler, target, relay }
        }

        async fn end(self) {
            drop((self.dialler, self.target));
            self.relay.await.unwrap();
            for pair in self.pairs {
                pair.end().await;
            }
        }
    }

    /// More than the windows of both connections hold.
    const MUCH: usize = 8 << 20;

    async fn write(mut stream: WriteHalf) -> io::Result<WriteHalf> {
        stream.write_all(&vec![7; MUCH]).await?;
        stream.shutdown().await?;
        Ok(stream)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_may_pause_for_an_hour() {
        let relayed = Relayed::start().await;
        let (mut read, rest) = relayed.dialler.into_split();
        let (target_read, write_half) = relayed.target.into_split();
        let writing = tokio::spawn(write(write_half));
        sleep(Duration::from_secs(3600)).await;
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), MUCH);
        drop((read, rest, target_read, writing.await.unwrap().unwrap()));
        relayed.relay.await.unwrap();
        for pair in relayed.pairs {
            pair.end().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_has_finished_still_hears_the_dialler() {
        let mut relayed = Relayed::start().await;
        relayed.target.shutdown().await.unwrap();
        assert_eq!(relayed.dialler.read_bytes(1).await.unwrap(), None);
        sleep(Duration::from_secs(3600)).await;
        relayed.dialler.write_all(b"to the end").await.unwrap();
        relayed.dialler.shutdown().await.unwrap();
        let mut received = String::new();
        relayed.target.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "to the end");
        relayed.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_before_a_failure_goes_on_for_as_long_as_it_is_read() {
        let mut relayed = Relayed::start().await;
        // As much as there is room for anywhere.
        let (written, filling) = (AtomicUsize::new(0), relayed.target.control());
        let fill = async {
            loop {
                relayed.target.write_all(&[7; 1000]).await.unwrap();
                written.fetch_add(1000, Relaxed);
            }
        };
        tokio::time::timeout(Duration::from_secs(60), fill).await.unwrap_err();
        filling.reset(ResetCode::DIAL_FAILED, "on purpose");
        let (begun, mut received) = (Instant::now(), 0);
        let error = loop {
            match relayed.dialler.read_bytes(4_000).await {
                Ok(Some(piece)) => received += piece.len(),
                Ok(None) => panic!("a clean end"),
                Err(error) => break error,
            }
            sleep(LAST_BYTES / 12).await;
        };
        assert_eq!(error.to_string(), "on purpose");
        assert!(received >= written.load(Relaxed), "{received} of {written:?}");
        assert!(begun.elapsed() > LAST_BYTES * 3 / 2, "{:?}", begun.elapsed());
        relayed.end().await;
    }
}
