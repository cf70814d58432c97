//! A player at a stream of the tunnel.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use watertight::{ConnectionEnd, TunnelStream};

use super::environment::Environment;
use super::shared_player::{RESET, SharedPlayer, State};
use crate::player::Desire;
use crate::situation::Situation;

/// The most bytes that are written or read at once.
const CHUNK: u64 = 8 << 10;

/// How long a read waits that is given a deadline.
const DEADLINE: Duration = Duration::from_millis(2);

/// Reads and writes a stream as its player wants, until nothing more can happen.
pub(super) async fn play(env: &Environment, shared: &Arc<SharedPlayer>, stream: TunnelStream) {
    let leaving = Leaving(shared);
    let mut stream = Some(stream);
    let mut wakers = PollWakers::default();
    std::future::poll_fn(|cx| poll_play(env, shared, &mut stream, &mut wakers, cx)).await;
    drop(leaving);
}

/// What wakes each direction.
#[derive(Default)]
struct PollWakers {
    reading: PollWaker,
    writing: PollWaker,
}

/// A player whose task dies in the middle has left.
struct Leaving<'a>(&'a SharedPlayer);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !state.player.end().is_over() {
            state.player.disconnected();
        }
        let wakers = (state.waker.take(), state.other_waker.take());
        drop(state);
        drop(wakers);
    }
}

fn poll_play(
    env: &Environment,
    shared: &SharedPlayer,
    stream: &mut Option<TunnelStream>,
    wakers: &mut PollWakers,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let (mut reads, mut writes) = (wakers.reading.was_woken(), wakers.writing.was_woken());
    if !reads && !writes {
        // The player was updated.
        (reads, writes) = (true, true);
    }
    loop {
        let Some(open) = stream.as_mut() else { return Poll::Ready(()) };
        let mut state = shared.lock();
        match state.player.desire() {
            Desire::Reset => {
                state.player.disconnected();
                drop(state);
                if let Some(stream) = stream.take() {
                    stream.reset(shared.reset_code(), RESET);
                }
                return Poll::Ready(());
            }
            Desire::Drop => {
                state.player.disconnected();
                env.recorder.note_if(state.write_waits, Situation::WriteDropped);
                env.recorder.note_if(state.read_waits, Situation::ReadDropped);
                drop(state);
                *stream = None;
                return Poll::Ready(());
            }
            _ => {}
        }
        state.waker = Some(cx.waker().clone());
        let wrote = match writes {
            true => {
                let waker = wakers.writing.renew(cx);
                poll_write(shared, &mut state, open, &mut Context::from_waker(&waker))
            }
            false => Poll::Pending,
        };
        let read = match reads {
            true => {
                let waker = wakers.reading.renew(cx);
                poll_read(env, shared, &mut state, open, &mut Context::from_waker(&waker))
            }
            false => Poll::Pending,
        };
        // Bytes read may need an answer, and bytes written may be the last.
        (reads, writes) = (read.is_ready(), wrote.is_ready() || read.is_ready());
        env.recorder.note_if(state.write_waits, Situation::WriteBlocked);
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
    shared: &SharedPlayer,
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
            shared.pattern().append(state.player.end().written, length, &mut chunk);
            // Both methods to write are used.
            let polled = if shared.stream.0.is_multiple_of(2) {
                stream.poll_write_bytes(cx, &mut Bytes::from(chunk)).map_err(io::Error::from)
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

/// Bytes that arrived before a write failed are still read. A player that reads nothing leaves.
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
    env: &Environment,
    shared: &SharedPlayer,
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
    let polled = stream.poll_read_bytes(cx, most).map_err(io::Error::from);
    if polled.is_ready() && state.read_deadline.take().is_some() {
        stream.set_read_deadline(None);
    }
    match polled {
        Poll::Pending => {
            state.read_waits = true;
            if tries_deadline(shared, state) {
                state.read_deadline = Some(env.recorder.now() + DEADLINE);
                stream.set_read_deadline(Some(Instant::now() + DEADLINE));
            }
            return Poll::Pending;
        }
        Poll::Ready(Err(error)) if has_passed(&error) => {}
        Poll::Ready(Ok(bytes)) if bytes.is_empty() => state.player.saw_eof(),
        Poll::Ready(Ok(bytes)) => shared.took(state, &bytes),
        Poll::Ready(Err(error)) => broke(state, &error),
    }
    Poll::Ready(())
}

/// Whether a read that begins to wait gets a deadline, which has to wake its task: once, on some streams.
const fn tries_deadline(shared: &SharedPlayer, state: &mut State) -> bool {
    shared.stream.0 % 4 == 1 && !std::mem::replace(&mut state.had_deadline, true)
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

/// The waker of one direction of a stream. Every poll has a new one, and the one before then wakes nothing
/// any more, as when a stream is handed from task to task: a library that keeps an old one, or one for both
/// directions, loses a wake-up.
#[derive(Debug, Default)]
pub(super) struct PollWaker(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    task: Mutex<Option<Waker>>,
    was_woken: AtomicBool,
}

impl PollWaker {
    /// Whether it was woken since the last call.
    pub(super) fn was_woken(&self) -> bool {
        self.0.was_woken.swap(false, Ordering::Relaxed)
    }

    /// A new waker, for the task of `cx`.
    pub(super) fn renew(&mut self, cx: &Context<'_>) -> Waker {
        self.0.set(None);
        self.0 = Arc::default();
        self.0.set(Some(cx.waker().clone()));
        Waker::from(Arc::clone(&self.0))
    }
}

impl Slot {
    fn set(&self, task: Option<Waker>) {
        let before = {
            let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, task)
        };
        drop(before);
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.was_woken.store(true, Ordering::Relaxed);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Drop for PollWaker {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
