//! What holds at every moment: of an end, and between two.

use super::endpoint::{Endpoint, Handle, Retired};
use crate::session::ProtocolViolation;
use crate::{Cause, ConnectionId, Instant, SessionEnd};

impl Endpoint {
    /// The ledger balances, and the application received each of its counts as an event.
    ///
    /// # Panics
    /// It does not.
    pub fn check_ledger(&self) {
        self.session.check();
        let ledger = self.session.ledger();
        assert_eq!(ledger.added, ledger.removed.total() + ledger.live, "the ledger: {ledger}");
        let handles = self.app.iter().count() as u64;
        assert_eq!(ledger.added, handles, "a row without a handle, or a handle without a row");
        for (cause, count) in ledger.removed.iter() {
            let by = |handle: &Handle| handle.retired.is_some_and(|end| end.cause == cause);
            let events = self.app.iter().filter(|(_, handle)| by(handle)).count() as u64;
            assert_eq!(count, events, "{cause} in the ledger and in the events");
        }
        assert_eq!(self.app.closed, self.session.ended().is_some(), "one Closed for the session");
        assert!(ledger.armed_timers == 0 || !self.app.closed, "an ended session has timers");
    }

    /// The rule that this end found broken.
    #[must_use]
    pub fn violation(&self) -> Option<&ProtocolViolation> {
        match self.session.ended()? {
            SessionEnd::ProtocolViolation(violation) => Some(violation),
            _ => None,
        }
    }

    /// The session has ended, and nothing is held.
    ///
    /// # Panics
    /// Something is.
    pub fn check_settled(&self, when: &str) {
        let ledger = self.session.ledger();
        assert!(ledger.is_settled(), "held {when}: {ledger}");
        assert!(self.app.closed, "no Closed {when}");
        let all = self.app.iter().all(|(_, handle)| handle.retired.is_some());
        assert!(all, "a connection was not retired {when}: {:?}", self.app);
        assert_eq!(self.session.poll_timeout(), None, "a deadline {when}");
        assert!(!self.session.has_transmit(), "something to send {when}");
    }
}

/// What holds between an end and its remote. In a `still` state nothing is in flight.
///
/// # Panics
/// It does not hold.
pub fn check_between(near: &Endpoint, far: &Endpoint, now: Instant, still: bool) {
    for (id, handle) in near.app.iter() {
        let missed = handle.deadline.is_some_and(|deadline| deadline < now);
        assert!(!missed, "the dial {id} outlives its deadline");
        check_bytes(near, far, id, handle);
        check_reset(near, far, id, handle);
        check_credit(near, far, id, still);
    }
}

/// The bytes read are a prefix of those written (they are compared as they are read), and all of
/// them where the end was clean.
fn check_bytes(near: &Endpoint, far: &Endpoint, id: ConnectionId, handle: &Handle) {
    let side = near.side;
    let writer = far.app.get(id);
    let (wrote, finished) = writer.map_or((0, false), |writer| (writer.wrote, writer.finished));
    assert!(handle.read <= wrote, "{id}: {} read of {wrote}", handle.read);
    let end = handle.retired.filter(|_| !handle.aborted && !handle.released);
    if handle.end_of_file || end.is_some_and(|end| end.complete) {
        assert_eq!(handle.read, wrote, "{side} {id}: complete, and not all was read");
        assert!(finished, "{side} {id}: an end of file that nobody sent");
    }
    let is_graceful =
        |end: &Retired| matches!(end.cause, Cause::Finished | Cause::RemoteClosed) && handle.opened;
    if let Some(end) = end.filter(is_graceful) {
        assert!(end.complete, "{side} {id}: bytes went unread");
    }
}

/// A reset follows the bytes that were written before it.
fn check_reset(near: &Endpoint, far: &Endpoint, id: ConnectionId, handle: &Handle) {
    let is = |handle: &Handle, causes: &[Cause]| {
        handle.retired.is_some_and(|end| causes.contains(&end.cause))
    };
    let reads = !handle.aborted && !handle.released && handle.opened;
    if reads
        && is(handle, &[Cause::RemoteReset])
        && let Some(writer) = far.app.get(id)
        && is(writer, &[Cause::Aborted, Cause::Dropped])
    {
        assert_eq!(handle.read, writer.wrote, "{} {id}: a reset overtook bytes", near.side);
    }
}

/// One end may send what the remote has granted, and no credit is lost in flight.
fn check_credit(near: &Endpoint, far: &Endpoint, id: ConnectionId, still: bool) {
    let side = near.side;
    let (sender, receiver) = (near.session.credit(id), far.session.credit(id));
    let (Some((sent, may_send, _)), Some((_, _, granted))) = (sender, receiver) else { return };
    assert!(sent <= may_send, "{side} {id}: {sent} sent of {may_send}");
    assert!(may_send <= granted, "{side} {id}: may send {may_send}, granted {granted}");
    if still {
        assert_eq!(may_send, granted, "{side} {id}: credit is lost");
    }
}
