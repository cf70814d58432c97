//! Where a player sits: at the one or the remote of a stream.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use watertight::proto::Cause;
use watertight::{ConnectionEnd, ResetCode};

use super::kernel::Kernel;

use crate::Player;
use crate::observed::StreamEnd;
use crate::pattern::{Direction, Pattern};
use crate::schedule::StreamId;

/// A player and the wakers of the tasks that act for it.
#[derive(Debug)]
pub(super) struct SharedPlayer {
    pub(super) stream: StreamId,
    /// The direction of its writes.
    writes: Direction,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) player: Player,
    /// The wakers of its reader and its writer; one task has one of them twice.
    pub(super) waker: Option<Waker>,
    pub(super) other_waker: Option<Waker>,
    pub(super) wrong: Option<String>,
    /// A write waited when it was last polled.
    pub(super) write_waits: bool,
    /// A read waited when it was last polled.
    pub(super) read_waits: bool,
    /// Bytes came after it had finished.
    pub(super) answered: bool,
    /// A target's socket, where the agent has one.
    pub(super) kernel: Option<Kernel>,
    /// Why writes fail. Bytes that have arrived can still be read.
    pub(super) write_error: Option<String>,
    /// How its reads came to their end, if not by an end of file.
    pub(super) read_error: Option<ConnectionEnd>,
    /// When a read that waits must end at the latest.
    pub(super) read_deadline: Option<Duration>,
    /// A deadline was set while it waited, which is tried once.
    pub(super) had_deadline: bool,
    /// It did not read for a while though the remote had left: bytes in transit are not waited for.
    pub(super) kept_waiting: bool,
}

/// The text of an application's or a target's reset.
pub(super) const RESET: &str = "reset by the application";

/// The error of a target whose socket the agent has reset.
pub(super) const SOCKET_RESET: &str = "its socket was reset";

/// The library's text for a stream that was dropped.
const DROPPED: &str = "the application let go of the connection";

/// The errors of the agent's system for a target that resets, and for one whose machine has vanished.
pub(super) const BY_TARGET: &str = "the target reset its connection";
pub(super) const VANISHED: &str = "the target's machine says nothing";

/// The library's text for a machine that has vanished.
const NO_ANSWER: &str = "the machine no longer answers";

/// Which streams must be read to where they were reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// None: a reset overtook the bytes before it.
    None,
    /// The ones whose reader was notified that the remote has reset them.
    OfThoseTold,
    /// All: no session has ended that could have taken something with it.
    All,
}

impl State {
    /// Whether its end is that the other one has reset the stream, which it has read up to there.
    fn was_reset_by_the_other(&self, promise: Promise) -> bool {
        if self.kept_waiting || promise == Promise::None {
            return false;
        }
        let is_notified = self.read_error.as_ref().is_some_and(|end| {
            let words = [RESET, DROPPED, BY_TARGET, NO_ANSWER];
            end.cause == Cause::RemoteReset && words.iter().any(|words| end.text.contains(words))
        });
        // A socket has no error text.
        let resets = self.player.end().broken.as_deref() == Some(SOCKET_RESET);
        is_notified || (resets && promise == Promise::All)
    }

    /// The target acts on its updates and reads, where the agent has a socket to it.
    pub(super) fn run_kernel(&mut self) {
        if let Some(kernel) = &mut self.kernel {
            kernel.run(&mut self.player);
        }
    }
}

impl SharedPlayer {
    pub(super) fn new(stream: StreamId, writes: Direction, player: Player) -> Self {
        let state = State {
            player,
            waker: None,
            other_waker: None,
            wrong: None,
            write_waits: false,
            read_waits: false,
            answered: false,
            kernel: None,
            write_error: None,
            read_error: None,
            read_deadline: None,
            had_deadline: false,
            kept_waiting: false,
        };
        Self { stream, writes, state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the player, and has it act on that.
    pub(super) fn update(&self, update: impl FnOnce(&mut Player)) {
        let mut state = self.lock();
        update(&mut state.player);
        state.run_kernel();
        let wakers = [state.waker.take(), state.other_waker.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// The agent has a socket to this target.
    pub(super) fn connect(&self, kernel: Kernel) {
        let mut state = self.lock();
        state.kernel = Some(kernel);
        state.run_kernel();
    }

    /// Whether this end is held: by its player, or by the agent that has a socket to it.
    pub(super) fn is_held(&self) -> bool {
        let state = self.lock();
        state.kernel.is_some() || !state.player.end().is_over()
    }

    pub(super) fn end(&self) -> StreamEnd {
        self.lock().player.end().clone()
    }

    /// Its record, and the bytes that it must have read if it was reset by `other`.
    pub(super) fn end_after(&self, other: &Self, promise: Promise) -> StreamEnd {
        let writer = other.end();
        let state = self.lock();
        let mut end = state.player.end().clone();
        if writer.let_go && !writer.finished && state.was_reset_by_the_other(promise) {
            end.owed = Some(writer.written);
        }
        end
    }

    /// Whether a read waits though its deadline passed before this moment.
    pub(super) fn is_overdue(&self, moment: Duration) -> bool {
        let state = self.lock();
        let late = state.read_deadline.is_some_and(|deadline| deadline < moment);
        late && !state.player.end().is_over()
    }

    /// A reset that arrived with another code than the remote's.
    pub(super) fn misnamed(&self) -> Option<String> {
        let state = self.lock();
        let end = state.read_error.as_ref().filter(|end| end.cause == Cause::RemoteReset)?;
        let code = end.code?;
        let by_target = self.writes == Direction::ToTarget;
        let was_said = [RESET, BY_TARGET, NO_ANSWER].iter().any(|words| end.text.contains(words));
        let expected = self.stream.reset_code(by_target);
        let wrong = was_said && code != expected;
        wrong.then(|| format!("{} was reset as {expected}, and {code} arrived", self.stream))
    }

    /// Notes that it does not read though `other` has left.
    pub(super) fn note_waiting(&self, other: &Self) {
        let has_gone = other.lock().player.end().let_go;
        let mut state = self.lock();
        let is_there = !state.player.end().is_over() || state.kernel.is_some();
        state.kept_waiting |= has_gone && is_there && state.player.appetite() == 0;
    }

    /// The code of its reset.
    pub(super) fn reset_code(&self) -> ResetCode {
        self.stream.reset_code(self.writes == Direction::ToApplication)
    }

    /// The pattern of its writes.
    pub(super) fn pattern(&self) -> Pattern {
        Pattern::new(self.stream, self.writes)
    }

    /// Takes what it reads, and compares it with what should come.
    pub(super) fn took(&self, state: &mut State, bytes: &[u8]) {
        let offset = state.player.end().read;
        let expected = Pattern::new(self.stream, self.writes.other());
        if let Err(wrong) = expected.check(offset, bytes) {
            state.wrong.get_or_insert_with(|| format!("{} {}: {wrong}", self.stream, self.side()));
        }
        state.answered |= state.player.end().finished;
        state.player.read(bytes.len() as u64);
    }

    const fn side(&self) -> &'static str {
        match self.writes {
            Direction::ToTarget => "from its target",
            Direction::ToApplication => "to its target",
        }
    }
}
