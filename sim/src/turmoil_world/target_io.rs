//! A target's socket, as the agent has it that dialled the target.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};
use watertight::simulation::{KernelSocket, TcpState};

use super::deviation::Deviation;
use super::kernel::{Found, Kernel};
use super::seat::{BY_TARGET, SOCKET_RESET, Seat, State, VANISHED};
use super::stage::Stage;
use super::stream::Stream;
use crate::player::Desire;

/// A target's socket: what the agent reads, the target has written.
#[derive(Debug)]
pub(super) struct TargetIo {
    stage: Arc<Stage>,
    seat: Arc<Seat>,
    /// Whether the target can finish and read on: not in the base dialect, where its end of file ends
    /// both directions.
    half_closes: bool,
    /// Until an answer is here.
    delay: Option<Pin<Box<Sleep>>>,
    /// Until the machine counts as vanished.
    probes: Option<Pin<Box<Sleep>>>,
}

/// How long an answer of a target's takes that comes late.
const DELAY: Duration = Duration::from_millis(3);

impl TargetIo {
    pub(super) fn new(stage: Arc<Stage>, stream: &Stream) -> Self {
        let seat = stream.seat_target();
        seat.connect(Kernel::of(seat.stream));
        Self { stage, seat, half_closes: stream.half_closes, delay: None, probes: None }
    }

    /// What is wrong with what copies to and from it.
    fn deviation(&self) -> Deviation {
        self.stage.deviation
    }

    /// What the target writes is read no more, and lost.
    fn lose_all(&self) {
        let mut state = self.seat.lock();
        let State { player, kernel, .. } = &mut *state;
        while let Desire::Write(bytes) = player.desire() {
            player.wrote(bytes);
        }
        player.finished();
        kernel.iter_mut().for_each(|kernel| kernel.lose_queue(player));
    }
}

fn failed<T>(kind: io::ErrorKind) -> Poll<io::Result<T>> {
    Poll::Ready(Err(error(kind)))
}

fn error(kind: io::ErrorKind) -> io::Error {
    let what = match kind {
        io::ErrorKind::TimedOut => VANISHED,
        io::ErrorKind::NotConnected => "the target's connection is gone",
        _ => BY_TARGET,
    };
    io::Error::new(kind, what)
}

/// Lets go of the lock and wakes those that the target's deeds concern.
fn wake(mut state: MutexGuard<'_, State>) {
    let wakers = [state.waker.take(), state.other_waker.take()];
    drop(state);
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl KernelSocket for TargetIo {
    fn abort(&self) {
        if self.deviation() != Deviation::AbortCloses {
            self.seat.lock().kernel.iter_mut().for_each(Kernel::abort);
        }
    }

    fn failure(&self) -> Option<io::Error> {
        let mut state = self.seat.lock();
        let State { player, kernel, .. } = &mut *state;
        kernel.as_mut()?.failure(player).map(error)
    }

    fn keepalive(&self, silence: Duration) {
        if self.deviation() != Deviation::ProbesNothing {
            self.seat.lock().kernel.iter_mut().for_each(|kernel| kernel.probe(silence));
        }
    }

    fn state(&self) -> Option<TcpState> {
        let state = self.seat.lock();
        let known = self.deviation() != Deviation::AsksNoKernel;
        state.kernel.as_ref().filter(|_| known).map(|kernel| kernel.state(&state.player))
    }
}

impl AsyncRead for TargetIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let deviation = self.deviation();
        if deviation == Deviation::EofEndsBoth && self.seat.lock().player.end().eof {
            self.lose_all();
            return Poll::Ready(Ok(()));
        }
        let Self { seat, delay, probes, .. } = &mut *self;
        let mut state = seat.lock();
        let State { player, kernel: Some(kernel), .. } = &mut *state else {
            return failed(io::ErrorKind::NotConnected);
        };
        if kernel.awaits_answer() {
            if delay.get_or_insert_with(|| Box::pin(sleep(DELAY))).as_mut().poll(cx).is_pending() {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            kernel.run(player);
        }
        *delay = None;
        if let Some(at) = kernel.gives_up() {
            let probes = probes.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if probes.as_mut().poll(cx).is_ready() {
                kernel.give_up();
            }
        }
        match kernel.read(player, buf.remaining()) {
            Found::Bytes(place, length) => {
                let mut chunk = Vec::new();
                seat.pattern().append(place, length, &mut chunk);
                buf.put_slice(&chunk);
                // There is room for more.
                if kernel.run(player) {
                    wake(state);
                }
                Poll::Ready(Ok(()))
            }
            Found::Error(_) if deviation == Deviation::ResetSwallowed => Poll::Pending,
            Found::Error(_) if deviation == Deviation::ResetIsAnEnd => Poll::Ready(Ok(())),
            Found::Error(kind) => failed(kind),
            Found::End if deviation == Deviation::ResetSwallowed && kernel.was_reset() => {
                Poll::Pending
            }
            Found::End => Poll::Ready(Ok(())),
            Found::Nothing => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for TargetIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let deviation = self.deviation();
        let mut state = self.seat.lock();
        let State { player, kernel: Some(kernel), .. } = &mut *state else {
            return failed(io::ErrorKind::NotConnected);
        };
        if deviation == Deviation::ResetSwallowed && kernel.was_reset() {
            return Poll::Pending;
        }
        if deviation == Deviation::ResetIsAnEnd {
            kernel.forget_error();
        }
        if let Some(kind) = kernel.write(player) {
            if deviation == Deviation::WriteErrorLosesAnswer {
                kernel.lose_queue(player);
            }
            return failed(kind);
        }
        if let Some(taken) = kernel.sends_in_vain(buf.len()) {
            if taken > 0 || buf.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            state.other_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // What is behind the last byte that it reads finds a socket that was reset.
        let appetite = player.appetite().min(player.reads_to_its_reset().max(1));
        let appetite = usize::try_from(appetite).unwrap_or(usize::MAX);
        let taken = buf.get(..appetite).unwrap_or(buf);
        if taken.is_empty() && !buf.is_empty() {
            state.other_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.seat.took(&mut state, taken);
        if let State { player, kernel: Some(kernel), .. } = &mut *state {
            kernel.was_written(player);
        }
        wake(state);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.seat.lock();
        if state.kernel.as_ref().is_none_or(Kernel::was_reset) {
            return failed(io::ErrorKind::NotConnected);
        }
        // A socket that reads no more never gets to the end of file.
        let reads = state.player.appetite() > 0;
        drop(state);
        if reads {
            self.seat.tell(crate::Player::saw_eof);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TargetIo {
    fn drop(&mut self) {
        let mut state = self.seat.lock();
        let State { player, kernel, .. } = &mut *state;
        let resets = kernel.take().is_none_or(|kernel| kernel.closes_with_reset(player));
        let ends_both = !self.half_closes && player.end().finished;
        if !resets && !ends_both && player.appetite() > 0 {
            // To the target a close is an end of file.
            player.saw_eof();
        }
        if !resets && player.desire() == Desire::Finish {
            player.finished();
        }
        let resets = resets && !ends_both;
        // What it does not read cannot be brought to it.
        let reads = player.appetite() > 0;
        if !player.end().is_over() {
            player.broke(if resets { SOCKET_RESET } else { "its socket was closed" });
        }
        state.kept_waiting |= !reads;
        let wakers = (state.waker.take(), state.other_waker.take());
        drop(state);
        drop(wakers);
    }
}
