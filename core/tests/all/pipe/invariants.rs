use watertight_core::session::ProtocolViolation;
use watertight_core::wire::Dialect;
use watertight_core::{Cause, ConnectionEnd, ConnectionId, SessionEnd};

use super::app::Handle;
use super::operation::{SIDES, Side};
use super::world::World;

impl World {
    /// What holds at every moment.
    pub(crate) fn check(&self) {
        for side in SIDES {
            self.check_memory(side);
            self.check_blame(side);
            for (id, handle) in &self.view(side).app.handles {
                self.check_deadline(*id, handle);
                self.check_bytes(side, *id, handle);
                self.check_credit(side, *id);
            }
        }
    }

    fn check_memory(&self, side: Side) {
        let (ledger, limits) = (self.view(side).end.session.ledger(), &self.view(side).limits);
        assert_eq!(ledger.added, ledger.removed.total() + ledger.live);
        assert!(ledger.live <= limits.max_connections as u64);
        assert!(ledger.opening <= limits.max_dials as u64);
        assert!(ledger.dialing <= limits.max_dials as u64);
        assert!(ledger.bytes_to_send <= limits.send_budget as u64);
        let received = match self.dialect {
            Dialect::Base => limits.unread_budget as u64,
            Dialect::Extended => ledger.live * limits.initial_window + limits.window_budget,
        };
        assert!(ledger.bytes_received <= received, "{} > {received}", ledger.bytes_received);
        assert!(ledger.queued_control <= 110, "{}", ledger.queued_control);
    }

    /// Two right ends never find fault with each other, but one that says much and does not
    /// listen.
    fn check_blame(&self, side: Side) {
        if let Some(SessionEnd::ProtocolViolation(fault)) = &self.view(side).end.closed {
            assert!(matches!(fault, ProtocolViolation::AnswersUnread(_)), "{side:?}: {fault}");
        }
    }

    fn check_deadline(&self, id: ConnectionId, handle: &Handle) {
        let answered = handle.opened || handle.retired.is_some();
        let due = handle.deadline.is_some_and(|deadline| deadline < self.now);
        assert!(answered || !due, "the dial {id} outlives its deadline");
    }

    /// What was read is a prefix of what was written (the bytes themselves are compared as they
    /// are read), and all of it where the end was clean.
    fn check_bytes(&self, side: Side, id: ConnectionId, handle: &Handle) {
        let written = self.view(side.other()).app.handles.get(&id);
        let (wrote, finished) = written.map_or((0, false), |other| (other.wrote, other.finished));
        assert!(handle.read <= wrote, "{id}: {} read of {wrote}", handle.read);
        let end = handle.retired.as_ref().filter(|_| !handle.aborted && !handle.released);
        if handle.end_of_file || end.is_some_and(|end| end.complete) {
            assert_eq!(handle.read, wrote, "{side:?} {id}: {handle:?}");
            assert!(finished, "{id}: an end of file that nobody sent");
        }
        self.check_reset(side, id, handle);
        let graceful = |end: &ConnectionEnd| {
            matches!(end.cause, Cause::Finished | Cause::RemoteClosed) && handle.opened
        };
        if let Some(end) = end.filter(|end| graceful(end)) {
            assert!(end.complete, "{side:?} {id}: bytes went unread: {handle:?}");
        }
    }

    /// A reset follows what was written before it.
    fn check_reset(&self, side: Side, id: ConnectionId, handle: &Handle) {
        let is = |handle: &Handle, causes: &[Cause]| {
            handle.retired.as_ref().is_some_and(|end| causes.contains(&end.cause))
        };
        let reads = !handle.aborted && !handle.released && handle.opened;
        let Some(writer) = self.view(side.other()).app.handles.get(&id) else { return };
        if reads
            && is(handle, &[Cause::RemoteReset])
            && is(writer, &[Cause::Aborted, Cause::Dropped])
        {
            assert_eq!(handle.read, writer.wrote, "{side:?} {id}: a reset overtook bytes");
        }
    }

    /// One end may send what the other has granted, and nothing is lost on the way.
    fn check_credit(&self, side: Side, id: ConnectionId) {
        let sender = self.view(side).end.session.credit(id);
        let receiver = self.view(side.other()).end.session.credit(id);
        let (Some((sent, may_send, _)), Some((_, _, granted))) = (sender, receiver) else { return };
        assert!(sent <= may_send && may_send <= granted, "{id}: {sent} {may_send} {granted}");
        if self.is_still() {
            assert_eq!(may_send, granted, "{side:?} {id}");
        }
    }

    /// Whether nothing is on its way.
    fn is_still(&self) -> bool {
        SIDES.iter().all(|side| {
            let end = &self.view(*side).end;
            end.inbox.is_empty() && !end.session.has_transmit() && end.closed.is_none()
        })
    }
}
