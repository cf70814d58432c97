//! From a state to rest: everything left to do is done, and nothing is held.

use std::time::Duration;

use watertight_core::ConnectionId;
use watertight_core::testkit::{Handle, Side};
use watertight_core::wire::Dialect;

use super::action::{Action, Call, Deed};
use super::bounds::LINGER;
use super::ends::Ends;
use super::state::State;

/// In the base dialect two ends that have paused each other continue after a window probe, which takes 10 ms,
/// and a stopped writer probes every 2 s.
const PROBE: Duration = Duration::from_secs(3);

impl State {
    /// Both applications answer and read everything; one releases its handles, and holds nothing more after a
    /// time, even if the other one keeps its own; then the other one does, and the session ends.
    ///
    /// # Panics
    /// Somebody hangs, or something is left.
    pub(super) fn settle(mut self, ends: &Ends, first: Side) {
        self.flow(ends);
        self.deliver_all(ends);
        if self.end(Side::Agent).session.dialect() == Dialect::Base {
            self.pass(ends, PROBE, Self::is_quiet);
        }
        self.check();
        self.assert_nobody_hangs();
        self.carry_once(ends);
        for side in [first, first.other()] {
            self.let_go(ends, side);
            self.pass(ends, LINGER, |state| state.is_quiet_at(side));
            assert!(self.is_quiet_at(side), "{side}: something is held without a handle");
        }
        assert!(self.is_quiet(), "something is held that was not held before");
        self.end_session(ends);
    }

    /// Everything in flight arrives, without time passing.
    pub(super) fn flow(&mut self, ends: &Ends) {
        let mut moves = true;
        while moves {
            moves = false;
            for side in Side::BOTH {
                while self.end(side).joined && self.end(side).session.has_transmit() {
                    self.act(ends, Action::Transmit(side));
                    moves = true;
                }
                while !self.pipe(side).is_empty() {
                    self.act(ends, Action::Deliver(side));
                    moves = true;
                }
                // A session that has ended and sent its last message closes its transport.
                if self.end(side).joined && !self.end(side).receives() {
                    self.act(ends, Action::Lose(side));
                    moves = true;
                }
            }
        }
    }

    /// Both applications accept and read what there is.
    pub(super) fn deliver_all(&mut self, ends: &Ends) {
        while let Some(action) = self.next_of_reader() {
            self.act(ends, action);
            self.flow(ends);
        }
    }

    fn next_of_reader(&self) -> Option<Action> {
        Side::BOTH.into_iter().find_map(|side| {
            let due = self.is_due(side).then_some(Action::Expire(side));
            due.or_else(|| {
                let (id, deed) = self.end(side).app.held().find_map(|(id, handle)| {
                    let reads = handle.opened && !handle.read_blocked && !handle.end_of_file;
                    let reads = reads.then_some((id, Deed::Read));
                    handle.unanswered.then_some((id, Deed::Accept)).or(reads)
                })?;
                Some(Action::Call(side, Call::Connection(id, deed)))
            })
        })
    }

    /// Where everything was read, every writer that has a reader may write.
    fn assert_nobody_hangs(&self) {
        for side in Side::BOTH.into_iter().filter(|side| self.end(*side).receives()) {
            for (id, handle) in self.end(side).app.held().filter(|(_, handle)| handle.opened) {
                let reader = self.end(side.other()).app.get(id);
                let read = reader.is_some_and(|reader| reader.opened && reader.is_held());
                let hangs = handle.write_blocked && !handle.finished && read;
                assert!(!hangs, "{side} {id}: a writer was not woken");
                let finished = reader.filter(|reader| reader.finished && read);
                if let Some(other) =
                    finished.filter(|_| self.end(side).session.dialect() == Dialect::Extended)
                {
                    assert_eq!(handle.read, other.wrote, "{side} {id}: a reader was not woken");
                    assert!(handle.end_of_file, "{side} {id}: an end of file was not told");
                }
            }
        }
    }

    fn let_go(&mut self, ends: &Ends, side: Side) {
        let held: Vec<ConnectionId> = self.end(side).app.held().map(|(id, _)| id).collect();
        for id in held {
            self.act(ends, Action::Call(side, Call::Connection(id, Deed::Release)));
        }
        self.flow(ends);
        self.check();
    }

    /// Time passes in steps to each deadline, and everything moves, until it is enough.
    fn pass(&mut self, ends: &Ends, time: Duration, enough: impl Fn(&Self) -> bool) {
        let until = self.now + time;
        while let Some(at) = self.next_deadline().filter(|at| *at <= until && !enough(self)) {
            self.now = self.now.max(at);
            for side in Side::BOTH {
                self.act(ends, Action::Expire(side));
            }
            self.flow(ends);
            self.deliver_all(ends);
            self.check();
        }
    }

    fn is_quiet(&self) -> bool {
        Side::BOTH.iter().all(|side| self.is_quiet_at(*side))
    }

    fn is_quiet_at(&self, side: Side) -> bool {
        self.end(side).session.ledger().is_quiet()
    }

    fn end_session(&mut self, ends: &Ends) {
        if self.end(Side::Server).session.ended().is_none() {
            self.act(ends, Action::Call(Side::Server, Call::Close));
        }
        self.flow(ends);
        for side in Side::BOTH {
            self.end(side).check_settled("in the end");
        }
    }
}

/// A connection that is open at both ends carries bytes, in any state.
impl State {
    /// Every writer that may write does so once more, and every byte of it is read.
    ///
    /// # Panics
    /// A dial has no answer, a writer may not write, or a byte does not arrive.
    fn carry_once(&mut self, ends: &Ends) {
        if !Side::BOTH.iter().all(|side| self.end(*side).receives()) {
            return;
        }
        for (side, id) in self.streams() {
            let before = self.wrote(side, id);
            self.write_once(ends, side, id);
            if self.end(side).session.dialect() == Dialect::Base {
                // It may be stopped, and is woken before long.
                self.pass(ends, PROBE, |state| state.may_write(side, id));
                assert!(self.may_write(side, id), "{side} {id}: a writer was not woken");
                self.write_once(ends, side, id);
            }
            assert!(self.wrote(side, id) > before, "{side} {id}: nothing can be written");
            assert!(self.has_arrived(side, id), "{side} {id}: what was written is not read");
        }
        self.check();
    }

    /// The directions that are open at both ends.
    fn streams(&self) -> Vec<(Side, ConnectionId)> {
        let mut streams = Vec::new();
        for side in Side::BOTH {
            for (id, handle) in self.end(side).app.held() {
                assert!(handle.opened, "{side} {id}: a dial without an answer");
                let is_read = self.is_open(side.other(), id);
                if self.is_open(side, id) && !handle.finished && is_read {
                    streams.push((side, id));
                }
            }
        }
        streams
    }

    fn is_open(&self, side: Side, id: ConnectionId) -> bool {
        let end = self.end(side);
        let is_held =
            end.app.get(id).is_some_and(|handle| Handle::is_held(handle) && handle.opened);
        is_held && end.session.read_end(id).is_none()
    }

    fn write_once(&mut self, ends: &Ends, side: Side, id: ConnectionId) {
        self.act(ends, Action::Call(side, Call::Connection(id, Deed::Write)));
        self.flow(ends);
        self.deliver_all(ends);
    }

    fn wrote(&self, side: Side, id: ConnectionId) -> usize {
        self.end(side).app.get(id).map_or(0, |handle| handle.wrote)
    }

    fn may_write(&self, side: Side, id: ConnectionId) -> bool {
        self.end(side).app.get(id).is_some_and(|handle| !handle.write_blocked)
    }

    fn has_arrived(&self, side: Side, id: ConnectionId) -> bool {
        let read = self.end(side.other()).app.get(id).map(|handle| handle.read);
        read == Some(self.wrote(side, id))
    }
}
