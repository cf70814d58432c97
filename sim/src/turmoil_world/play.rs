//! A player at a stream of the tunnel.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use watertight::{ConnectionEnd, TunnelStream};

use super::seat::{RESET, Seat, State};
use super::stage::Stage;
use super::ticket::Ticket;
use crate::player::Desire;
use crate::situation::Situation;

/// The most bytes that are written or read at once.
const CHUNK: u64 = 8 << 10;

/// How long a read waits that is given a deadline.
const DEADLINE: Duration = Duration::from_millis(2);

/// Reads and writes a stream as its player wants, until nothing more can happen.
pub(super) async fn play(stage: &Stage, seat: &Arc<Seat>, stream: TunnelStream) {
    let leaving = Leaving(seat);
    let mut stream = Some(stream);
    let mut tickets = Tickets::default();
    std::future::poll_fn(|cx| poll_play(stage, seat, &mut stream, &mut tickets, cx)).await;
    drop(leaving);
}

/// What wakes each direction.
#[derive(Default)]
struct Tickets {
    reading: Ticket,
    writing: Ticket,
}

/// One whose task dies in the middle is gone.
struct Leaving<'a>(&'a Seat);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !state.player.end().is_over() {
            state.player.gone();
        }
        let wakers = (state.waker.take(), state.other_waker.take());
        drop(state);
        drop(wakers);
    }
}

fn poll_play(
    stage: &Stage,
    seat: &Seat,
    stream: &mut Option<TunnelStream>,
    tickets: &mut Tickets,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let (mut reads, mut writes) = (tickets.reading.was_woken(), tickets.writing.was_woken());
    if !reads && !writes {
        // The player was told something.
        (reads, writes) = (true, true);
    }
    loop {
        let Some(open) = stream.as_mut() else { return Poll::Ready(()) };
        let mut state = seat.lock();
        match state.player.desire() {
            Desire::Reset => {
                state.player.gone();
                drop(state);
                if let Some(stream) = stream.take() {
                    stream.reset(seat.reset_code(), RESET);
                }
                return Poll::Ready(());
            }
            Desire::Drop => {
                state.player.gone();
                stage.note_if(state.write_waits, Situation::WriteDropped);
                stage.note_if(state.read_waits, Situation::ReadDropped);
                drop(state);
                *stream = None;
                return Poll::Ready(());
            }
            _ => {}
        }
        state.waker = Some(cx.waker().clone());
        let wrote = match writes {
            true => {
                let waker = tickets.writing.renew(cx);
                poll_write(seat, &mut state, open, &mut Context::from_waker(&waker))
            }
            false => Poll::Pending,
        };
        let read = match reads {
            true => {
                let waker = tickets.reading.renew(cx);
                poll_read(stage, seat, &mut state, open, &mut Context::from_waker(&waker))
            }
            false => Poll::Pending,
        };
        // What was read may be answered, and what was written may be all.
        (reads, writes) = (read.is_ready(), wrote.is_ready() || read.is_ready());
        stage.note_if(state.write_waits, Situation::WriteBlocked);
        give_up_writing(&mut state);
        let over = state.player.end().is_over();
        drop(state);
        if over {
            *stream = None;
            return Poll::Ready(());
        }
        if wrote.is_pending() && read.is_pending() {
            return Poll::Pending;
        }
    }
}

/// Ready if it may have more to write.
fn poll_write(
    seat: &Seat,
    state: &mut State,
    stream: &mut TunnelStream,
    cx: &mut Context<'_>,
) -> Poll<()> {
    state.write_waits = false;
    if state.write_error.is_some() {
        return Poll::Pending;
    }
    let result = match state.player.desire() {
        Desire::Write(bytes) => {
            let length = usize::try_from(bytes.min(CHUNK)).unwrap_or(usize::MAX);
            let mut chunk = Vec::new();
            seat.pattern().append(state.player.end().written, length, &mut chunk);
            // Both ways to write come in for their share.
            let polled = if seat.stream.0.is_multiple_of(2) {
                stream.poll_write_bytes(cx, &mut Bytes::from(chunk))
            } else {
                Pin::new(stream).poll_write(cx, &chunk)
            };
            let Poll::Ready(written) = polled else {
                state.write_waits = true;
                return Poll::Pending;
            };
            written.map(|written| state.player.wrote(written as u64))
        }
        Desire::Finish => match Pin::new(stream).poll_shutdown(cx) {
            Poll::Ready(result) => result.map(|()| state.player.finished()),
            Poll::Pending => return Poll::Pending,
        },
        _ => return Poll::Pending,
    };
    state.write_error = result.err().map(|error| error.to_string());
    Poll::Ready(())
}

/// What has arrived before a write failed is still read. One that reads nothing goes.
fn give_up_writing(state: &mut State) {
    if state.player.appetite() > 0 {
        return;
    }
    if let Some(why) = state.write_error.take() {
        state.player.broke(&why);
    }
}

/// Ready if it may read more.
fn poll_read(
    stage: &Stage,
    seat: &Seat,
    state: &mut State,
    stream: &mut TunnelStream,
    cx: &mut Context<'_>,
) -> Poll<()> {
    state.read_waits = false;
    let appetite = state.player.appetite().min(CHUNK);
    if appetite == 0 {
        return Poll::Pending;
    }
    let most = usize::try_from(appetite).unwrap_or(usize::MAX);
    let polled = stream.poll_read_bytes(cx, most);
    if polled.is_ready() && state.read_deadline.take().is_some() {
        stream.set_read_deadline(None);
    }
    match polled {
        Poll::Pending => {
            state.read_waits = true;
            if tries_deadline(seat, state) {
                state.read_deadline = Some(stage.now() + DEADLINE);
                stream.set_read_deadline(Some(Instant::now() + DEADLINE));
            }
            return Poll::Pending;
        }
        Poll::Ready(Err(error)) if has_passed(&error) => {}
        Poll::Ready(Ok(bytes)) if bytes.is_empty() => state.player.saw_eof(),
        Poll::Ready(Ok(bytes)) => seat.took(state, &bytes),
        Poll::Ready(Err(error)) => broke(state, &error),
    }
    Poll::Ready(())
}

/// Whether a read that begins to wait is given a deadline, of which its task is to hear: once, on
/// some streams.
const fn tries_deadline(seat: &Seat, state: &mut State) -> bool {
    seat.stream.0 % 4 == 1 && !std::mem::replace(&mut state.had_deadline, true)
}

/// Whether a read failed because of its deadline, which leaves the stream whole.
fn has_passed(error: &io::Error) -> bool {
    let end = error.get_ref().and_then(|end| end.downcast_ref::<ConnectionEnd>());
    error.kind() == io::ErrorKind::TimedOut && end.is_none()
}

fn broke(state: &mut State, error: &io::Error) {
    let end = error.get_ref().and_then(|end| end.downcast_ref::<ConnectionEnd>());
    state.read_error = end.cloned();
    state.player.broke(&error.to_string());
}
