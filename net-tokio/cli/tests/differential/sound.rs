//! Soundness: a conversation in which every step completes with any timing.
//!
//! A generated conversation is repaired until it is sound. A hang afterwards is a fault.

use crate::conversation::{Conversation, Leave, SMALL, Side, Step};

/// Bytes of a flood, in the model. The kernel's has no end.
const FLOOD: u64 = 100 * SMALL;

/// What an end has done so far, in the model.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    steps: usize,
    sent: u64,
    /// Of the current step.
    moved: u64,
    consumed: u64,
    finished: bool,
    is_closed: bool,
    has_ended: bool,
}

impl Conversation {
    /// The conversation without the steps that cannot be taken.
    pub(crate) fn mended(mut self) -> Self {
        for side in Side::BOTH {
            self.drop_writes_after_finish(side);
        }
        loop {
            for side in Side::BOTH {
                self.limit_waits(side);
            }
            let Some((side, step)) = self.blocked() else { return self };
            self.script_mut(side).steps.remove(step);
        }
    }

    /// Whether every step completes.
    pub(crate) fn is_sound(&self) -> bool {
        self.clone().mended() == *self
    }

    fn drop_writes_after_finish(&mut self, side: Side) {
        let mut finished = false;
        self.script_mut(side).steps.retain(|step| match step {
            Step::Finish => !std::mem::replace(&mut finished, true),
            Step::Send(_) | Step::Flood => !finished,
            _ => true,
        });
    }

    fn limit_waits(&mut self, side: Side) {
        let most = u8::try_from(self.script(side.other()).len()).unwrap_or(u8::MAX);
        for step in &mut self.script_mut(side).steps {
            if let Step::Wait(steps) = step {
                *steps = (*steps).min(most);
            }
        }
    }

    /// A step that never completes.
    fn blocked(&self) -> Option<(Side, usize)> {
        let mut states = [State::default(); 2];
        while Side::BOTH.map(|side| self.advance(side, &mut states)).contains(&true) {}
        let blocked = |side: &Side| !states[*side as usize].has_ended;
        Side::BOTH.into_iter().find(blocked).map(|side| (side, states[side as usize].steps))
    }

    /// Takes one step, or a part of it. `false` if none can be taken.
    fn advance(&self, side: Side, states: &mut [State; 2]) -> bool {
        let (mut own, other) = (states[side as usize], states[side.other() as usize]);
        if own.has_ended {
            return false;
        }
        let script = self.script(side);
        let before = (own.sent, own.consumed);
        let done = match script.steps.get(own.steps) {
            Some(Step::Send(bytes)) => own.send(other, u64::from(*bytes)),
            Some(Step::Flood) => own.send(other, FLOOD) && other.is_closed,
            Some(Step::Read(bytes)) => own.read(other, u64::from(*bytes)),
            Some(Step::ReadToEnd) => own.read(other, u64::MAX),
            Some(Step::Wait(steps)) => other.steps >= usize::from(*steps),
            Some(Step::Pause(_)) => true,
            Some(Step::Finish) => {
                own.finished = true;
                true
            }
            None => {
                own.has_ended = true;
                own.is_closed = script.leave != Leave::Keep;
                true
            }
        };
        if done {
            own.steps += 1;
            own.moved = 0;
        }
        let moved = done || before != (own.sent, own.consumed);
        states[side as usize] = own;
        moved
    }
}

impl State {
    fn send(&mut self, other: Self, bytes: u64) -> bool {
        if other.is_closed {
            return true;
        }
        let room = SMALL.saturating_sub(self.sent - other.consumed);
        let moved = room.min(bytes - self.moved);
        self.sent += moved;
        self.moved += moved;
        self.moved == bytes
    }

    fn read(&mut self, other: Self, bytes: u64) -> bool {
        let moved = (other.sent - self.consumed).min(bytes - self.moved);
        self.consumed += moved;
        self.moved += moved;
        self.moved == bytes || other.is_closed || other.finished
    }
}
