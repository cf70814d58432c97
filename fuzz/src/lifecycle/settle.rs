//! From a state to rest: what is there to do is done, and nothing is left.

use std::time::Duration;

use watertight_core::ConnectionId;

use super::action::{Action, Command, Deed};
use super::bounds::LINGER;
use super::ends::Ends;
use super::side::Side;
use super::state::State;

/// In the base dialect two ends that have paused each other go on after a look at the flag, which
/// takes 10 ms, and a writer that is stopped asks every 2 s whether it may go on.
pub(super) const PROBE: Duration = Duration::from_secs(3);

impl State {
    /// Both applications answer, read and are told whatever there is; one lets go, and holds nothing
    /// more after a time, whatever the other one does; then that one does, and the session ends.
    ///
    /// # Panics
    /// Somebody hangs, or something is left.
    pub(super) fn settle(mut self, ends: &Ends, first: Side) {
        self.flow(ends);
        self.deliver_all(ends);
        if !self.end(Side::Agent).extended() {
            self.pass(ends, PROBE, Self::is_quiet);
        }
        self.check();
        self.assert_nobody_hangs();
        self.get_on(ends);
        for side in [first, first.other()] {
            self.let_go(ends, side);
            self.pass(ends, LINGER, |state| state.is_quiet_at(side));
            assert!(self.is_quiet_at(side), "{side}: something is held without a handle");
        }
        assert!(self.is_quiet(), "something is held that was not held before");
        self.end_session(ends);
    }

    /// Everything that is on its way arrives, without time passing.
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
                // A session that has ended and has said so closes its transport.
                if self.end(side).joined && !self.end(side).hears() {
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
                Some(Action::Command(side, Command::Connection(id, deed)))
            })
        })
    }

    /// Where everything was read, every writer that has a reader may write.
    fn assert_nobody_hangs(&self) {
        for side in Side::BOTH.into_iter().filter(|side| self.end(*side).hears()) {
            for (id, handle) in self.end(side).app.held().filter(|(_, handle)| handle.opened) {
                let reader = self.end(side.other()).app.get(id);
                let read = reader.is_some_and(|reader| reader.opened && reader.is_held());
                let hangs = handle.write_blocked && !handle.finished && read;
                assert!(!hangs, "{side} {id}: a writer was not woken");
                let finished = reader.filter(|reader| reader.finished && read);
                if let Some(other) = finished.filter(|_| self.end(side).extended()) {
                    assert_eq!(handle.read, other.wrote, "{side} {id}: a reader was not woken");
                    assert!(handle.end_of_file, "{side} {id}: an end of file was not told");
                }
            }
        }
    }

    fn let_go(&mut self, ends: &Ends, side: Side) {
        let held: Vec<ConnectionId> = self.end(side).app.held().map(|(id, _)| id).collect();
        for id in held {
            self.act(ends, Action::Command(side, Command::Connection(id, Deed::Release)));
        }
        self.flow(ends);
        self.check();
    }

    /// Time passes in steps to each deadline, and everything moves, until it is enough.
    pub(super) fn pass(&mut self, ends: &Ends, time: Duration, enough: impl Fn(&Self) -> bool) {
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
            self.act(ends, Action::Command(Side::Server, Command::Close));
        }
        self.flow(ends);
        for side in Side::BOTH {
            self.end(side).check_even("in the end");
        }
    }
}
