//! The two ends, and what is on its way between them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use watertight_core::Instant;

use super::action::{Action, Command};
use super::bounds::Bounds;
use super::end::End;
use super::ends::{Ends, Input, Printed};
use super::pipe::{Parcel, Pipe};
use super::side::{Both, Side};

/// Everything that what comes next depends on.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) now: Instant,
    /// Dials so far.
    pub(super) dials: u8,
    /// How often time has passed.
    pub(super) waits: u8,
    ends: Both<Arc<Printed>>,
    /// What is on its way to each end.
    pipes: Both<Pipe>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.now, self.dials, self.waits).hash(state);
        for side in Side::BOTH {
            self.ends.of(side).matters.hash(state);
            self.pipes.of(side).hash(state);
        }
    }
}

impl State {
    /// Two ends whose transport has just been established.
    pub(super) fn fresh(ends: &Ends, bounds: &Bounds) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        Self {
            now,
            dials: 0,
            waits: 0,
            ends: Both::new(|side| ends.share(End::new(now, side, bounds))),
            pipes: Both::default(),
        }
    }

    /// The same two when all that they have to say in the beginning has arrived.
    pub(super) fn settled(ends: &Ends, bounds: &Bounds) -> Self {
        let mut state = Self::fresh(ends, bounds);
        state.flow(ends);
        if bounds.open {
            for side in Side::BOTH {
                state.act(ends, Action::Command(side, Command::Open));
            }
            state.flow(ends);
            state.deliver_all(ends);
        }
        state
    }

    pub(super) fn end(&self, side: Side) -> &End {
        &self.ends.of(side).end
    }

    pub(super) fn pipe(&self, side: Side) -> &Pipe {
        self.pipes.of(side)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        Side::BOTH.iter().filter_map(|side| self.end(*side).session.poll_timeout()).min()
    }

    pub(super) fn is_due(&self, side: Side) -> bool {
        self.end(side).session.poll_timeout().is_some_and(|at| at <= self.now)
    }

    /// Does a step, and says which end it has changed.
    ///
    /// # Panics
    /// Something does not hold at that end.
    pub(super) fn act(&mut self, ends: &Ends, action: Action) -> Option<Side> {
        let (side, input) = match action {
            Action::Command(side, command) => {
                self.dials += u8::from(command == Command::Open);
                (side, Input::Command(command))
            }
            Action::Transmit(side) => (side, Input::Transmit),
            Action::Deliver(side) => (side, Input::Take(self.pipes.of_mut(side).pop()?)),
            Action::Lose(side) => (side, Input::Lose),
            Action::Expire(side) => (side, Input::Expire),
            Action::Wait => {
                self.now = self.next_deadline().unwrap_or(self.now);
                self.waits += 1;
                return None;
            }
        };
        let outcome = ends.after(self.ends.of(side), self.now, input);
        if !outcome.end.end.hears() {
            self.pipes.of_mut(side).clear();
        }
        *self.ends.of_mut(side) = outcome.end;
        self.send(side.other(), outcome.parcel);
        Some(side)
    }

    /// What is sent to an end that does not hear it any more makes no difference.
    fn send(&mut self, to: Side, parcel: Option<Parcel>) {
        if let Some(parcel) = parcel.filter(|_| self.end(to).hears()) {
            self.pipes.of_mut(to).push(parcel);
        }
    }
}
