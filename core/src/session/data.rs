//! Data of the other end.

use bytes::Bytes;

use super::input::Handled;
use super::{PeerMisbehaved, Session};
use crate::ConnectionId;
use crate::connection::Signal;

/// Unread bytes of all connections up to which new ones stay in the read buffers that they arrived
/// in. A slice keeps all of its buffer alive, with what others have read long since; above this,
/// the application lags anyway and what comes is copied, so that the bytes held stay near those
/// that are counted.
const SHARED_UNREAD: usize = 1 << 20;

/// The part of the unread bytes that there may be at most, above which the other end is told to wait even
/// if it ought to know.
const BRIM: usize = 4;

impl Session {
    pub(super) fn on_data(&mut self, id: ConnectionId, payload: Bytes) -> Handled {
        if self.extended() && payload.len() > self.config.limits.max_data {
            return Err(PeerMisbehaved::DataTooLong(id));
        }
        if !self.on_signal_to(id, Signal::Data)? {
            return Ok(());
        }
        let wanted = self.table.get(id).is_some_and(|row| row.phase.delivers());
        if !wanted || payload.is_empty() {
            return Ok(());
        }
        if !self.extended() && self.overruns(id, payload.len()) {
            return self.on_overrun(id);
        }
        let copy = self.table.totals().received > SHARED_UNREAD;
        let received = self.table.update(id, |row| row.recv.receive(payload, copy)).flatten();
        received.ok_or(PeerMisbehaved::CreditExceeded(id))?;
        self.after_data(id);
        Ok(())
    }

    fn after_data(&mut self, id: ConnectionId) {
        self.wake_reader(id);
        if !self.extended() {
            let limits = &self.config.limits;
            let (most, all) = (limits.unread_cap / BRIM, limits.unread_budget / BRIM);
            let tight = self.table.totals().received > all;
            self.table.update(id, |row| row.flag.on_data(tight || row.recv.unread() > most));
            self.review_flow(id);
            // A half-closed connection lingers for as long as something comes.
            self.linger_anew(id);
        }
    }

    /// Whether a remotedialer end has gone on sending past every bound.
    fn overruns(&self, id: ConnectionId, more: usize) -> bool {
        let limits = &self.config.limits;
        let unread = self.table.get(id).map_or(0, |row| row.recv.unread());
        unread + more > limits.unread_cap
            || self.table.totals().received + more > limits.unread_budget
    }

    fn on_overrun(&mut self, id: ConnectionId) -> Handled {
        let text = "more unread data than this end holds; Pause was ignored";
        self.apply(id, Signal::Overrun, text).map(drop)
    }
}
