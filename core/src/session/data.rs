//! The bytes of connections: written and read by the application, received from the remote.

use bytes::Bytes;

use super::input::Handled;
use super::row::Row;
use super::{InvalidState, ProtocolViolation, ReadError, Session, WriteError};
use crate::connection::{Command, Excess, Flow, Phase, RecvHalf, RemoteSignal, SessionSignal};
use crate::wire::{Dialect, ResetCode};
use crate::{ConnectionId, Instant};

/// Unread bytes of all connections up to which new ones stay in the read buffers that they arrived
/// in. A slice keeps all of its buffer alive, with bytes that others have read long since; above
/// this, the application lags anyway and payloads are copied, so that the bytes held stay near
/// the bytes counted.
const SHARED_UNREAD: usize = 1 << 20;

impl Session {
    /// Takes bytes to send from the front of `data`, as many as [`writable`](Self::writable) says, and
    /// returns how many. They will be sent: they need nothing more from the application or from the
    /// remote's reader.
    ///
    /// # Errors
    /// Nothing was taken: see [`WriteError`].
    pub fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &mut Bytes,
    ) -> Result<usize, WriteError> {
        self.common.at(now);
        let written = self.connections.with(id, &mut self.common, |row| row.write(data));
        written.unwrap_or(Err(WriteError::Unknown))
    }

    /// How many bytes [`write`](Self::write) would take now; never zero.
    ///
    /// # Errors
    /// As for `write`.
    pub fn writable(&mut self, now: Instant, id: ConnectionId) -> Result<usize, WriteError> {
        self.common.at(now);
        let writable = self.connections.with(id, &mut self.common, |row| row.writable());
        writable.unwrap_or(Err(WriteError::Unknown))
    }

    /// The next bytes that arrived, at most `max` of them (which is not zero), without copying.
    /// Empty at the end of the remote's direction.
    ///
    /// Once nothing is left to read or to send, the connection is retired: the end of the remote's
    /// direction is then known by [`Event::Retired`](super::Event::Retired), whose end is
    /// `complete`.
    ///
    /// # Errors
    /// Nothing was read: see [`ReadError`].
    pub fn read(&mut self, now: Instant, id: ConnectionId, max: usize) -> Result<Bytes, ReadError> {
        self.common.at(now);
        let read = self.connections.with(id, &mut self.common, |row| row.read(max));
        read.unwrap_or(Err(ReadError::Unknown))
    }

    /// Finishes the direction toward the remote: no more bytes follow those written. The other
    /// direction stays open.
    ///
    /// The base dialect cannot express this; there the connection stays readable for as long as
    /// something arrives within the linger time, and is then closed in both directions.
    ///
    /// # Errors
    /// There is no such connection, its dial is not answered yet, or the remote has cut it off.
    pub fn finish(&mut self, now: Instant, id: ConnectionId) -> Result<(), InvalidState> {
        self.command(now, id, |row| row.on_command(Command::Finish, ""))
    }

    /// Ends both directions for the application now. Unread bytes are thrown away. Written bytes
    /// are still sent, and the reset follows them, for as long as the transport takes some of them
    /// within the linger time.
    ///
    /// # Errors
    /// There is no such connection.
    pub fn reset(
        &mut self,
        now: Instant,
        id: ConnectionId,
        code: ResetCode,
        text: &str,
    ) -> Result<(), InvalidState> {
        self.command(now, id, |row| row.on_command(Command::Reset(code), text))
    }

    /// Gives the handle of a connection back: the application will not use it again. Before
    /// [`finish`](Self::finish) this is a [`reset`](Self::reset); after it, written bytes still
    /// arrive, and then the end of file. A connection that was removed already is no error.
    pub fn release(&mut self, now: Instant, id: ConnectionId) {
        let text = "the application let go of the connection";
        self.command(now, id, |row| row.on_command(Command::Release, text)).ok();
    }

    pub(super) fn command(
        &mut self,
        now: Instant,
        id: ConnectionId,
        command: impl FnOnce(&mut Row<'_>) -> Result<(), InvalidState>,
    ) -> Result<(), InvalidState> {
        self.common.at(now);
        self.connections.with(id, &mut self.common, command).unwrap_or(Err(InvalidState(id)))
    }

    /// A payload of the remote.
    pub(super) fn on_data(&mut self, id: ConnectionId, payload: Bytes) -> Handled {
        let extended = self.common.dialect == Dialect::Extended;
        if extended && payload.len() > self.common.config.limits.max_data {
            return Err(ProtocolViolation::DataTooLong(id));
        }
        self.known(id, |row| row.receive(payload))
    }
}

impl Row<'_> {
    fn write(&mut self, data: &mut Bytes) -> Result<usize, WriteError> {
        let (writable, max_data) = (self.writable()?, self.session.max_data());
        let taken = self.send.push(data, writable, max_data);
        self.flow.on_written(taken);
        if taken > 0 {
            self.mark_ready();
            self.review_probe();
            self.review_update();
        }
        Ok(taken)
    }

    fn writable(&mut self) -> Result<usize, WriteError> {
        if let Some(cause) = self.phase.resetting() {
            return Err(WriteError::Ended(self.end(cause)));
        }
        match self.phase {
            phase if phase.is_writable() => {}
            Phase::Ended { cause, .. } => return Err(WriteError::Ended(self.end(cause))),
            Phase::Open { .. } | Phase::Lingering(_) => return Err(WriteError::Finished),
            Phase::PendingOutbound | Phase::PendingInbound(_) => return self.wait_for_space(),
        }
        let queued = self.shared.totals.to_send;
        let budget = self.session.config.limits.send_budget.saturating_sub(queued);
        let writable = self.connection.writable(self.session.send_buffer()).min(budget);
        if writable > 0 {
            return Ok(writable);
        }
        if budget == 0 {
            self.wait_for_budget();
        }
        self.wait_for_space()
    }

    fn wait_for_space(&mut self) -> Result<usize, WriteError> {
        if !core::mem::replace(&mut self.send.wants_space, true) {
            self.probe_soon();
        }
        Err(WriteError::Blocked)
    }

    fn read(&mut self, max: usize) -> Result<Bytes, ReadError> {
        debug_assert!(max > 0, "an empty read looks like the end of the direction");
        if self.recv.unread() == 0 {
            return self.read_nothing();
        }
        let data = self.recv.read(max);
        let drains = matches!(
            self.phase,
            Phase::Ended { .. } | Phase::Open { recv: RecvHalf::Finished, .. }
        );
        if drains && self.recv.unread() == 0 {
            self.on_session(SessionSignal::Drained, "");
        } else {
            self.review_update();
            self.linger_anew();
        }
        Ok(data)
    }

    fn read_nothing(&mut self) -> Result<Bytes, ReadError> {
        if let Some(cause) = self.phase.resetting() {
            return Err(ReadError::Ended(self.end(cause)));
        }
        if let Phase::Open { recv: RecvHalf::Finished | RecvHalf::Drained, .. } = self.phase {
            return Ok(Bytes::new());
        }
        // An ended connection has something left to read: otherwise it is retired.
        debug_assert!(!matches!(self.phase, Phase::Ended { .. }), "an ended row without bytes");
        self.recv.wants_data = true;
        Err(ReadError::Blocked)
    }

    fn receive(&mut self, payload: Bytes) -> Handled {
        self.on_remote(RemoteSignal::Data)?;
        if !self.phase.delivers() || payload.is_empty() {
            return Ok(());
        }
        match self.flow_received(payload.len()) {
            Ok(()) => {}
            Err(Excess::Credit) => return Err(ProtocolViolation::CreditExceeded(self.id)),
            Err(Excess::Overrun) => {
                let text = "more unread data than this end holds; Pause was ignored";
                self.on_session(SessionSignal::Overrun, text);
                return Ok(());
            }
        }
        let copy = self.shared.totals.unread > SHARED_UNREAD;
        self.recv.push(payload, copy);
        self.wake_reader();
        if let Flow::PauseResume(_) = self.flow {
            self.review_update();
            // A half-closed connection lingers for as long as something arrives.
            self.linger_anew();
        }
        Ok(())
    }
}
