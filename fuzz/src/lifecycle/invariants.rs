//! What holds at every moment, of an end and between two.

use watertight_core::session::{Fault, ReadError, WriteError};
use watertight_core::wire::{GoAwayCode, ResetCode};
use watertight_core::{Cause, ConnectionId, Instant};

use super::app::{Handle, Retired};
use super::bounds::DRAIN;
use super::end::End;
use super::pipe::Item;
use super::side::Side;
use super::state::State;

/// The most control messages that can wait at an end with two connections: the session's Settings, GoAway,
/// sign of life, answer to one, and list; each connection's Connect or Opened, and its end with a Resume
/// ahead.
const CONTROL: u64 = 5 + 2 * 3;

impl End {
    /// # Panics
    /// Something does not hold at this end.
    pub(super) fn check(&self) {
        self.session.check();
        self.check_books();
        self.check_blame();
        self.check_gone();
        self.check_ended();
        self.comes_to_rest();
        self.is_abandoned();
    }

    fn check_books(&self) {
        let ledger = self.session.ledger();
        assert_eq!(ledger.added, ledger.removed.total() + ledger.live, "the books: {ledger}");
        let handles = self.app.iter().count() as u64;
        assert_eq!(ledger.added, handles, "a row without a word, or a word without a row");
        let retired = self.app.iter().filter(|(_, handle)| handle.retired.is_some()).count() as u64;
        assert_eq!(ledger.removed.total(), retired, "one Retired for each row that is gone");
        for (cause, count) in ledger.removed.iter() {
            let by = |handle: &Handle| handle.retired.is_some_and(|end| end.cause == cause);
            let told = self.app.iter().filter(|(_, handle)| by(handle)).count() as u64;
            assert_eq!(count, told, "{cause} in the books and in the events");
        }
        assert_eq!(self.app.closed, self.session.ended().is_some(), "one Closed for the session");
        assert!(ledger.queued_control <= CONTROL, "{} control messages", ledger.queued_control);
        if self.app.closed {
            assert_eq!(ledger.armed_timers, 0, "an ended session has timers");
        }
    }

    /// Two right ends never find fault with each other, nor does the net under wrong ones catch
    /// anything.
    fn check_blame(&self) {
        let not_listed = self.session.ledger().removed.by(Cause::NotListed);
        assert_eq!(not_listed, 0, "reconciliation found something");
        if let Some(end) = self.session.ended() {
            assert_ne!(end.fault(), Fault::Remote, "{end}");
        }
    }

    /// Commands on a connection that is gone are refused and change nothing.
    fn check_gone(&self) {
        let gone = self.app.iter().filter(|(_, handle)| handle.retired.is_some());
        gone.for_each(|(id, _)| self.check_gone_of(id));
    }

    fn check_gone_of(&self, id: ConnectionId) {
        let (mut session, now) = (self.session.clone(), Instant::EPOCH);
        assert!(session.accept(now, id).is_err(), "{id} accepted");
        assert!(session.refuse(now, id, ResetCode::CANCELLED, "").is_err(), "{id} refused");
        assert_eq!(session.write(now, id, &mut "x".into()), Err(WriteError::Unknown), "{id}");
        assert_eq!(session.read(now, id, 1), Err(ReadError::Unknown), "{id}");
        assert!(session.finish(now, id).is_err(), "{id} finished");
        assert!(session.reset(now, id, ResetCode::CANCELLED, "").is_err(), "{id} reset");
        session.release(now, id);
        assert!(session == self.session, "{id} is gone, and a command on it changes something");
    }

    /// What still arrives once a session has ended changes nothing.
    fn check_ended(&self) {
        if self.session.ended().is_some() {
            let (mut session, now) = (self.session.clone(), Instant::EPOCH);
            session.handle_message(now, "no message".into());
            session.handle_timeout(now);
            session.drain(now, "", DRAIN);
            session.close(now, GoAwayCode::SHUTDOWN, "");
            assert!(session == self.session, "an ended session changes");
            assert!(
                self.last_words() == self.released().last_words(),
                "handles have the last word"
            );
        }
    }

    /// What an ended session still says.
    fn last_words(&self) -> Vec<Item> {
        let mut end = self.clone();
        std::iter::from_fn(|| end.transmit(Instant::EPOCH)).collect()
    }

    fn released(&self) -> Self {
        let mut end = self.clone();
        let held: Vec<_> = end.app.held().map(|(id, _)| id).collect();
        held.into_iter().for_each(|id| end.release(Instant::EPOCH, id));
        end
    }

    /// None uneven: once the transport has ended and the handles are given back, nothing is held.
    fn comes_to_rest(&self) {
        let mut end = self.clone();
        end.lose(Instant::EPOCH);
        end.released().check_even("at rest");
    }

    /// The same for an application that lets go of all at once.
    fn is_abandoned(&self) {
        let mut end = self.clone();
        end.abandon(Instant::EPOCH);
        end.check_even("abandoned");
    }

    pub(super) fn check_even(&self, when: &str) {
        let ledger = self.session.ledger();
        assert!(ledger.is_settled(), "uneven {when}: {ledger}");
        assert!(self.app.closed, "{when} without a word");
        let all = self.app.iter().all(|(_, handle)| handle.retired.is_some());
        assert!(all, "{when}, and a connection was not retired: {:?}", self.app);
        assert_eq!(self.session.poll_timeout(), None, "a deadline {when}");
        assert!(!self.session.has_transmit(), "something to say {when}");
    }
}

impl State {
    /// # Panics
    /// Something does not hold between the two ends.
    pub(super) fn check(&self) {
        let still = self.is_still();
        for side in Side::BOTH {
            for (id, handle) in self.end(side).app.iter() {
                self.check_deadline(id, handle);
                self.check_bytes(side, id, handle);
                self.check_credit(side, id, still);
                if still {
                    self.check_other(side, id, handle);
                }
            }
        }
    }

    fn check_deadline(&self, id: ConnectionId, handle: &Handle) {
        let missed = handle.deadline.is_some_and(|deadline| deadline < self.now);
        assert!(!missed, "the dial {id} outlives its deadline");
    }

    /// What was read is a prefix of what was written (the bytes themselves are compared as they
    /// are read), and all of it where the end was clean.
    fn check_bytes(&self, side: Side, id: ConnectionId, handle: &Handle) {
        let writer = self.end(side.other()).app.get(id);
        let (wrote, finished) = writer.map_or((0, false), |other| (other.wrote, other.finished));
        assert!(handle.read <= wrote, "{id}: {} read of {wrote}", handle.read);
        let end = handle.retired.filter(|_| !handle.aborted && !handle.released);
        if handle.end_of_file || end.is_some_and(|end| end.complete) {
            assert_eq!(handle.read, wrote, "{side} {id}: complete, and not all was read");
            assert!(finished, "{side} {id}: an end of file that nobody sent");
        }
        let graceful = |end: Retired| {
            matches!(end.cause, Cause::Finished | Cause::RemoteClosed) && handle.opened
        };
        if let Some(end) = end.filter(|end| graceful(*end)) {
            assert!(end.complete, "{side} {id}: bytes went unread");
        }
    }

    /// One end may send what the other has granted, and nothing is lost on the way.
    fn check_credit(&self, side: Side, id: ConnectionId, still: bool) {
        let sender = self.end(side).session.credit(id);
        let receiver = self.end(side.other()).session.credit(id);
        let (Some((sent, may_send, _)), Some((_, _, granted))) = (sender, receiver) else { return };
        assert!(sent <= may_send, "{side} {id}: {sent} sent of {may_send}");
        assert!(may_send <= granted, "{side} {id}: may send {may_send}, granted {granted}");
        if still {
            assert_eq!(may_send, granted, "{side} {id}: credit is lost");
        }
    }

    /// With nothing on its way, a connection that goes on at one end goes on at the other, too,
    /// unless that one had nothing more to say or to hear.
    fn check_other(&self, side: Side, id: ConnectionId, handle: &Handle) {
        let end = self.end(side);
        // In the base dialect the opener may have closed before its dial was answered.
        let early = handle.unanswered && !end.extended();
        if handle.retired.is_some() || end.session.read_end(id).is_some() || early {
            return;
        }
        let goes_on = self
            .end(side.other())
            .app
            .get(id)
            .is_some_and(|other| other.retired.is_none() || handle.finished && other.finished);
        assert!(goes_on, "{side} {id} goes on, and there is no other end");
    }

    /// Whether nothing is on its way.
    pub(super) fn is_still(&self) -> bool {
        Side::BOTH.into_iter().all(|side| {
            let end = self.end(side);
            end.hears() && self.pipe(side).is_empty() && !end.session.has_transmit()
        })
    }
}
