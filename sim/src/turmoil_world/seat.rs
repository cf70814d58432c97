//! Where a player sits: at the one or the other end of a stream.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use watertight::ResetCode;

use crate::Player;
use crate::observed::StreamEnd;
use crate::pattern::{Direction, Pattern};
use crate::schedule::StreamId;

/// A player and the one who is woken when it is told something.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) stream: StreamId,
    /// Which way it writes.
    writes: Direction,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) player: Player,
    /// Those who read and write for it; one task has one of them twice.
    pub(super) waker: Option<Waker>,
    pub(super) other_waker: Option<Waker>,
    pub(super) wrong: Option<String>,
    /// A write waited when it was last polled.
    pub(super) write_waits: bool,
    /// A read waited when it was last polled.
    pub(super) read_waits: bool,
    /// Bytes came after it had finished.
    pub(super) answered: bool,
}

impl Seat {
    pub(super) fn new(stream: StreamId, writes: Direction, player: Player) -> Self {
        let state = State {
            player,
            waker: None,
            other_waker: None,
            wrong: None,
            write_waits: false,
            read_waits: false,
            answered: false,
        };
        Self { stream, writes, state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the player something, and has it act on it.
    pub(super) fn tell(&self, tell: impl FnOnce(&mut Player)) {
        let mut state = self.lock();
        tell(&mut state.player);
        let wakers = [state.waker.take(), state.other_waker.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub(super) fn end(&self) -> StreamEnd {
        self.lock().player.end().clone()
    }

    /// What its reset says.
    pub(super) fn reset_code(&self) -> ResetCode {
        self.stream.reset_code(self.writes == Direction::ToApplication)
    }

    /// What it writes.
    pub(super) fn pattern(&self) -> Pattern {
        Pattern::new(self.stream, self.writes)
    }

    /// Takes what it reads, and compares it with what should come.
    pub(super) fn took(&self, state: &mut State, bytes: &[u8]) {
        let place = state.player.end().read;
        let expected = Pattern::new(self.stream, self.writes.other());
        if let Err(wrong) = expected.check(place, bytes) {
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
