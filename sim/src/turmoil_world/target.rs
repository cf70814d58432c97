//! Targets of dials: their answers, and their sockets at the agent that dials them.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};
use watertight::simulation::{KernelSocket, SimulatedSocket, TcpState};
use watertight::{DialRefusal, Incoming, ResetCode};

use super::environment::Environment;
use super::kernel::{Found, Kernel};
use super::plan::Deviation;
use super::play::play;
use super::resolver::hanging;
use super::shared_player::{BY_TARGET, SOCKET_RESET, SharedPlayer, State, VANISHED};
use super::stream::Stream;
use crate::player::Desire;
use crate::schedule::{Answer, Host, millis};
use crate::situation::Situation;

/// Answers a dial and reads and writes its stream, as a handler does. `client` is whose session it
/// came by, where the dial came to a server.
pub(super) async fn handle(
    env: Arc<Environment>,
    host: Host,
    client: Option<String>,
    mut incoming: Incoming,
) {
    let stream = env.stream_to(incoming.target()).filter(|stream| is_for(stream, host, &client));
    if env.plan.deviation == Deviation::UnknownTargetPanics {
        assert!(stream.is_some(), "every target that is dialled exists");
    }
    let Some(stream) = stream else {
        incoming.refuse(ResetCode::DIAL_REFUSED, "no such target");
        return;
    };
    match stream.plan.answer {
        Answer::Accept => {}
        Answer::Late(after) => tokio::select! {
            biased;
            _ = incoming.withdrawn() => return,
            () = sleep(millis(after)) => {}
        },
        Answer::Refuse => {
            incoming.refuse(ResetCode::DIAL_REFUSED, "refused by the target");
            return;
        }
        Answer::Hang => {
            incoming.withdrawn().await;
            return;
        }
    }
    let Ok(open) = incoming.accept() else { return };
    if env.plan.deviation == Deviation::TaskStays {
        tokio::spawn(pending::<()>());
    }
    env.recorder.trace_host(host, || format!("{}: accepted", stream.id));
    let shared = stream.add_target();
    play(&env, &shared, open).await;
    env.recorder.trace_host(host, || format!("{}: target {:?}", stream.id, shared.end()));
}

/// Makes the socket of a target, as a dialer does.
pub(super) async fn dial(
    env: Arc<Environment>,
    host: Host,
    target: String,
) -> Result<SimulatedSocket, DialRefusal> {
    let refusal = |text: &str| DialRefusal::new(ResetCode::DIAL_REFUSED, text);
    let stream = env.stream_to(&target).filter(|stream| is_for(stream, host, &None));
    let stream = stream.ok_or_else(|| refusal("no such target"))?;
    match stream.plan.answer {
        Answer::Accept => {}
        Answer::Late(after) => sleep(millis(after)).await,
        Answer::Refuse => return Err(refusal("refused by the target")),
        Answer::Hang => {
            hang(&env, host, &target).await;
            return Err(refusal("it has no address"));
        }
    }
    env.recorder.trace_host(host, || format!("{}: target dialled", stream.id));
    Ok(SimulatedSocket::new(TargetIo::new(env, &stream)))
}

/// Waits for the address of a name that has none.
async fn hang(env: &Environment, host: Host, target: &str) {
    let Some(names) = env.with_host(host, |state| state.names.clone()).flatten() else { return };
    env.recorder.note_if(names.hanging() > 0, Situation::NamesHang);
    // A dial gets the same error as for a target that refuses.
    names.of_targets.resolve(&hanging(target)).await.ok();
}

/// Whether a dial that arrives here is that of the stream. A hostile end may name any target.
fn is_for(stream: &Stream, host: Host, client: &Option<String>) -> bool {
    let agent = Host::Agent(stream.agent);
    match client {
        Some(client) => stream.from == agent && *client == agent.to_string(),
        None => matches!(stream.from, Host::Server(_)) && agent == host,
    }
}

/// A target's socket: the agent reads the bytes that the target has written.
#[derive(Debug)]
pub(super) struct TargetIo {
    env: Arc<Environment>,
    shared: Arc<SharedPlayer>,
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
    pub(super) fn new(env: Arc<Environment>, stream: &Stream) -> Self {
        let shared = stream.add_target();
        shared.connect(Kernel::of(shared.stream));
        Self { env, shared, half_closes: stream.half_closes, delay: None, probes: None }
    }

    /// The seeded bug of the copy to and from it.
    fn deviation(&self) -> Deviation {
        self.env.plan.deviation
    }

    /// The bytes that the target writes are not read any more, and lost.
    fn lose_all(&self) {
        let mut state = self.shared.lock();
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

/// Unlocks, and wakes the tasks that wait for the target.
fn wake(mut state: MutexGuard<'_, State>) {
    let wakers = [state.waker.take(), state.other_waker.take()];
    drop(state);
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl KernelSocket for TargetIo {
    fn abort(&self) {
        if self.deviation() != Deviation::AbortCloses {
            self.shared.lock().kernel.iter_mut().for_each(Kernel::abort);
        }
    }

    fn failure(&self) -> Option<io::Error> {
        let mut state = self.shared.lock();
        let State { player, kernel, .. } = &mut *state;
        kernel.as_mut()?.failure(player).map(error)
    }

    fn keepalive(&self, silence: Duration) {
        if self.deviation() != Deviation::ProbesNothing {
            self.shared.lock().kernel.iter_mut().for_each(|kernel| kernel.probe(silence));
        }
    }

    fn state(&self) -> Option<TcpState> {
        let state = self.shared.lock();
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
        if deviation == Deviation::EofEndsBoth && self.shared.lock().player.end().eof {
            self.lose_all();
            return Poll::Ready(Ok(()));
        }
        let Self { shared, delay, probes, .. } = &mut *self;
        let mut state = shared.lock();
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
            Found::Bytes(offset, length) => {
                let mut chunk = Vec::new();
                shared.pattern().append(offset, length, &mut chunk);
                buf.put_slice(&chunk);
                // There is space for more.
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
        let mut state = self.shared.lock();
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
        // Bytes behind the last one that it reads find a socket that was reset.
        let appetite = player.appetite().min(player.reads_to_its_reset().max(1));
        let appetite = usize::try_from(appetite).unwrap_or(usize::MAX);
        let taken = buf.get(..appetite).unwrap_or(buf);
        if taken.is_empty() && !buf.is_empty() {
            state.other_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.shared.took(&mut state, taken);
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
        let state = self.shared.lock();
        if state.kernel.as_ref().is_none_or(Kernel::was_reset) {
            return failed(io::ErrorKind::NotConnected);
        }
        // A socket that reads no more never gets to the end of file.
        let reads = state.player.appetite() > 0;
        drop(state);
        if reads {
            self.shared.update(crate::Player::saw_eof);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TargetIo {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
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
        // Bytes that it does not read cannot reach it.
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
