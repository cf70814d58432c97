//! Copies between two tunnel streams, both ways, in one task.
//!
//! What arrives is passed on as it arrived, and taken only when it can go on: nothing is parked
//! here, and what has no room stays with whoever sends it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tracing::debug;
use watertight_core::ConnectionEnd;
use watertight_core::wire::ResetCode;

use crate::stream::{ReadHalf, StreamControl, TunnelStream, WriteHalf};

/// How long a stream may take for what came before the other one's failure.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How one direction came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passed {
    /// The end was passed on. The other direction goes on.
    End,
    /// The end was passed on to a stream that cannot half-close: it ends the connection, as that of
    /// a target does.
    EndOfBoth,
    /// The stream takes nothing more. How it ended is for the other direction to say, which may
    /// have bytes to deliver first.
    Dead,
}

/// Copies until both directions have finished, or one fails. A reset of one stream resets the other
/// one, with the same code and words.
///
/// Dropping the future resets both: nobody takes a truncated stream for a whole one.
pub(super) async fn relay(one: TunnelStream, other: TunnelStream) {
    let half_closes = [one.half_closes(), other.half_closes()];
    let controls = [one.control(), other.control()];
    let (mut one_read, mut one_write) = one.into_split();
    let (mut other_read, mut other_write) = other.into_split();
    let result = both(
        pass(&mut one_read, &mut other_write, half_closes[1]),
        pass(&mut other_read, &mut one_write, half_closes[0]),
    )
    .await;
    match result {
        Ok(()) => debug!("connection finished"),
        Err(error) => {
            debug!(%error, "connection failed");
            reset(&controls, &error);
        }
    }
}

async fn both(
    up: impl Future<Output = io::Result<Passed>>,
    down: impl Future<Output = io::Result<Passed>>,
) -> io::Result<()> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    let (mut up_done, mut down_done) = (false, false);
    poll_fn(|cx| {
        if !up_done && let Poll::Ready(passed) = up.as_mut().poll(cx)? {
            up_done = true;
            down_done |= passed == Passed::EndOfBoth;
        }
        if !down_done && let Poll::Ready(passed) = down.as_mut().poll(cx)? {
            down_done = true;
            up_done |= passed == Passed::EndOfBoth;
        }
        if up_done && down_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
///
/// # Errors
/// The stream that is read failed.
async fn pass(from: &mut ReadHalf, to: &mut WriteHalf, half_closes: bool) -> io::Result<Passed> {
    loop {
        let Ok(room) = room(from, to).await? else { return Ok(Passed::Dead) };
        let Some(piece) = next(from, to, room).await else { return Ok(Passed::Dead) };
        let piece = piece?;
        let end = piece.is_empty();
        let written = if end { to.shutdown().await } else { to.write_bytes(piece).await };
        match (written, end) {
            (Err(_), _) => return Ok(Passed::Dead),
            (Ok(()), true) if half_closes => return Ok(Passed::End),
            (Ok(()), true) => return Ok(Passed::EndOfBoth),
            // Streams that are always ready let other tasks run.
            (Ok(()), false) => tokio::task::coop::consume_budget().await,
        }
    }
}

/// Waits for room in a stream. The inner result is its own.
///
/// # Errors
/// The stream that is read has failed, and what came before that has no room, either.
async fn room(from: &mut ReadHalf, to: &mut WriteHalf) -> io::Result<io::Result<usize>> {
    let either = poll_fn(|cx| match to.poll_room(cx) {
        Poll::Ready(room) => Poll::Ready(Some(room)),
        // A clean end can wait for its turn.
        Poll::Pending => match from.poll_ended(cx) {
            Poll::Ready(false) => Poll::Ready(None),
            Poll::Ready(true) | Poll::Pending => Poll::Pending,
        },
    });
    if let Some(room) = either.await {
        return Ok(room);
    }
    match tokio::time::timeout(LAST_WORDS, poll_fn(|cx| to.poll_room(cx))).await {
        Ok(room) => Ok(room),
        Err(_) => Err(failure(from).await),
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
