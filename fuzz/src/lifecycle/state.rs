//! A state of the search, its invariants, and the steps that lead out of it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use watertight_core::testkit::{Both, Endpoint, Handle, Side, check_between};
use watertight_core::wire::Dialect;
use watertight_core::{ConnectionId, Instant};

use super::action::{Action, Call, Deed};
use super::bounds::Bounds;
use super::ends::{Ends, Input, Printed, fresh};
use super::pipe::{Parcel, Pipe};

/// The two ends, the items between them and the time: everything that the next steps depend on.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) now: Instant,
    /// Dials so far.
    pub(super) dials: u8,
    /// How often time has passed.
    pub(super) waits: u8,
    ends: Both<Arc<Printed>>,
    /// The items in flight to each end.
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
    /// Where paths begin: with ends whose first messages have arrived, and, if the length of paths may
    /// vary by those, with fresh ends.
    pub(super) fn roots(ends: &Ends, bounds: &Bounds) -> Vec<Self> {
        let mut roots = vec![Self::settled(ends, bounds)];
        if bounds.handshake {
            roots.push(Self::fresh(ends, bounds));
        }
        roots
    }

    /// Two ends whose transport has just been established.
    fn fresh(ends: &Ends, bounds: &Bounds) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        Self {
            now,
            dials: 0,
            waits: 0,
            ends: Both::new(|side| ends.share(fresh(now, side, bounds))),
            pipes: Both::default(),
        }
    }

    /// The same two when their first messages have arrived.
    fn settled(ends: &Ends, bounds: &Bounds) -> Self {
        let mut state = Self::fresh(ends, bounds);
        state.flow(ends);
        if bounds.open {
            for side in Side::BOTH {
                state.act(ends, Action::Call(side, Call::Open));
            }
            state.flow(ends);
            state.deliver_all(ends);
        }
        state
    }

    pub(super) fn end(&self, side: Side) -> &Endpoint {
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

    /// Does a step, and returns the end that it has changed.
    ///
    /// # Panics
    /// Something does not hold at that end.
    pub(super) fn act(&mut self, ends: &Ends, action: Action) -> Option<Side> {
        let (side, input) = match action {
            Action::Call(side, command) => {
                self.dials += u8::from(command == Call::Open);
                (side, Input::Call(command))
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
        if !outcome.end.end.receives() {
            self.pipes.of_mut(side).clear();
        }
        *self.ends.of_mut(side) = outcome.end;
        self.send(side.other(), outcome.parcel);
        Some(side)
    }

    /// An item for an end that receives nothing any more is dropped.
    fn send(&mut self, to: Side, parcel: Option<Parcel>) {
        if let Some(parcel) = parcel.filter(|_| self.end(to).receives()) {
            self.pipes.of_mut(to).push(parcel);
        }
    }
}

impl State {
    /// Everything that may happen next. Left out is what changes nothing by the session's own
    /// word: commands on connections that are gone, and messages for a session that has ended.
    ///
    /// What an application does after the end of its session nobody else can notice, and nothing
    /// else changes what it can do: so it goes first, which is one order for all of them.
    pub(super) fn actions(&self, bounds: &Bounds) -> Vec<Action> {
        let mut actions = Vec::with_capacity(16);
        for side in Side::BOTH {
            let end = self.end(side);
            if end.session.ended().is_some() && end.app.held().next().is_some() {
                self.commands(bounds, end, |command| actions.push(Action::Call(side, command)));
                return actions;
            }
        }
        for side in Side::BOTH {
            let end = self.end(side);
            self.commands(bounds, end, |command| actions.push(Action::Call(side, command)));
            self.transport(bounds, end, &mut actions);
        }
        self.time(bounds, &mut actions);
        actions
    }

    fn commands(&self, bounds: &Bounds, end: &Endpoint, mut add: impl FnMut(Call)) {
        if end.session.ended().is_none() {
            if self.dials < bounds.dials && !end.session.is_going_away() {
                add(Call::Open);
            }
            if bounds.endings && !end.app.drained {
                add(Call::Drain);
            }
            if bounds.endings {
                add(Call::Close);
            }
        }
        for (id, handle) in end.app.held() {
            deeds(bounds, end, id, handle, |deed| add(Call::Connection(id, deed)));
        }
    }

    fn transport(&self, bounds: &Bounds, end: &Endpoint, actions: &mut Vec<Action>) {
        if !end.joined {
            return;
        }
        let side = end.side;
        let has_space = self.pipe(side.other()).len() < bounds.in_flight;
        if has_space && end.session.has_transmit() {
            actions.push(Action::Transmit(side));
        }
        if !self.pipe(side).is_empty() {
            actions.push(Action::Deliver(side));
        }
        if bounds.endings || end.session.ended().is_some() {
            actions.push(Action::Lose(side));
        }
    }

    /// Time passes when nothing is due, so that no deadline is missed; a deadline that is due may be noticed
    /// before or after anything else that happens at that time.
    fn time(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        let mut due = false;
        for side in Side::BOTH {
            if self.is_due(side) {
                due = true;
                actions.push(Action::Expire(side));
            }
        }
        if !due && self.waits < bounds.waits && self.next_deadline().is_some() {
            actions.push(Action::Wait);
        }
    }
}

impl State {
    /// # Panics
    /// Something does not hold between the two ends.
    pub(super) fn check(&self) {
        let still = self.is_still();
        for side in Side::BOTH {
            check_between(self.end(side), self.end(side.other()), self.now, still);
            let handles = self.end(side).app.iter().filter(|_| still);
            handles.for_each(|(id, handle)| self.check_other(side, id, handle));
        }
    }

    /// With nothing in flight, a connection that lives at one end lives at the remote, too, unless both ends
    /// have finished.
    fn check_other(&self, side: Side, id: ConnectionId, handle: &Handle) {
        let end = self.end(side);
        // In the base dialect the opener may have closed before its dial was answered.
        let early = handle.unanswered && end.session.dialect() == Dialect::Base;
        if handle.retired.is_some() || end.session.read_end(id).is_some() || early {
            return;
        }
        let lives = self
            .end(side.other())
            .app
            .get(id)
            .is_some_and(|other| other.retired.is_none() || handle.finished && other.finished);
        assert!(lives, "{side} {id} lives at one end only");
    }

    /// Whether nothing is in flight.
    pub(super) fn is_still(&self) -> bool {
        Side::BOTH.into_iter().all(|side| {
            let end = self.end(side);
            end.receives() && self.pipe(side).is_empty() && !end.session.has_transmit()
        })
    }
}

/// What may be done with a connection that the application has.
fn deeds(
    bounds: &Bounds,
    end: &Endpoint,
    id: ConnectionId,
    handle: &Handle,
    mut add: impl FnMut(Deed),
) {
    if handle.unanswered {
        add(Deed::Accept);
        add(Deed::Refuse);
    }
    if !handle.finished && !handle.write_blocked && handle.wrote < usize::from(bounds.bytes) {
        add(Deed::Write);
    }
    // Bytes that follow the Connect can be read before the answer.
    let reads = handle.opened || handle.unanswered;
    if reads && !handle.read_blocked && !handle.end_of_file {
        add(Deed::Read);
    }
    let cut = end.session.read_end(id) == Some(watertight_core::ReadEnd::CutOff);
    if handle.opened && !handle.finished && !cut {
        add(Deed::Finish);
    }
    add(Deed::Reset);
    add(Deed::Release);
}
