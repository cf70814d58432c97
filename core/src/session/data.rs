//! The bytes of connections: written and read by the application, received from the remote, and
//! their flow control.

use bytes::Bytes;

use super::common::Common;
use super::connections::Row;
use super::input::Handled;
use super::shared::Shared;
use super::{Event, InvalidState, ProtocolViolation, ReadError, Session, WriteError};
use crate::connection::{
    Command, Excess, Flow, Phase, Pressure, RecvHalf, RemoteSignal, SessionSignal,
};
use crate::wire::{Body, Dialect, ResetCode};
use crate::{ConnectionId, Instant};

/// Unread bytes of all connections up to which new ones stay in the read buffers that they arrived
/// in. A slice keeps all of its buffer alive, with bytes that others have read long since; above
/// this, the application lags anyway and payloads are copied, so that the bytes held stay near
/// the bytes counted.
const SHARED_UNREAD: usize = 1 << 20;

impl Session {
    /// Takes bytes to send from the front of `data`, as many as [`writable`](Self::writable)
    /// returns, and returns how many. They will be sent: they need nothing more from the
    /// application or from the remote's reader.
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
    /// direction is then known by [`Event::Retired`], whose end is
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

impl Session {
    /// Whether the process is short of memory, which its adapter knows: all of its sessions together
    /// hold much. While it is, windows shrink to their first size, a remotedialer end is paused as
    /// if the session's own budget were tight, and each application may have one more Data message
    /// queued in each connection.
    pub fn set_short_of_memory(&mut self, now: Instant, short: bool) {
        self.common.at(now);
        self.common.short_of_memory = short;
    }

    /// The connection with the most unread bytes, with their number; `None` if there are no such
    /// bytes. To [`reset`](Self::reset) it, or to read it, gives the memory back.
    #[must_use]
    pub fn most_unread(&self) -> Option<(ConnectionId, usize)> {
        let unread = self.connections.iter().map(|(id, row)| (id, row.recv.unread()));
        unread.max_by_key(|(_, unread)| *unread).filter(|(_, unread)| *unread > 0)
    }

    /// The remote lets this end send more.
    pub(super) fn on_credit(&mut self, id: ConnectionId, bytes: u64) -> Handled {
        self.known(id, |row| {
            if let Flow::Credit(credit) = &mut row.flow {
                credit.add(bytes).ok_or(ProtocolViolation::CreditOverflow(id))?;
            }
            row.review_writer();
            Ok(())
        })
    }

    /// Reports the next writer that waits for the session's send budget, once half of it is free.
    pub(super) fn wake_budget_writer(&mut self) -> Option<Event> {
        let Shared { budget, totals, .. } = self.connections.shared();
        if budget.is_empty() || totals.to_send > self.common.config.limits.send_budget / 2 {
            return None;
        }
        while let Some(id) = self.connections.next_for_budget() {
            self.connections.with(id, &mut self.common, |row| {
                debug_assert!(row.wants_budget, "{id} does not wait for the budget");
                row.wants_budget = false;
                row.wake_writer();
            });
            if let Some(event) = self.common.events.pop_front() {
                return Some(event);
            }
        }
        None
    }
}

impl Row<'_> {
    /// Bytes arrived or were read: queues the connection if an update for the remote is due.
    pub(super) fn review_update(&mut self) {
        let pressure = pressure(self.session, self.shared, self.all_unread());
        if self.flow.update_is_due(self.phase, &self.recv, &pressure) {
            self.mark_update();
        }
    }

    /// The message that the connection owes the remote; none if it does not owe it any more.
    pub(super) fn update(&mut self) -> Option<Body> {
        debug_assert!(self.owes_update, "{} owes no update", self.id);
        self.owes_update = false;
        let pressure = pressure(self.session, self.shared, self.all_unread());
        let now = self.session.now;
        let row = &mut *self.connection;
        let body = row.flow.update(now, row.phase, &row.recv, &pressure);
        if body.is_some() {
            self.review_probe();
            self.review_writer();
        }
        body
    }

    /// Asks flow control whether the remote may send so many bytes.
    pub(super) fn flow_received(&mut self, bytes: usize) -> Result<(), Excess> {
        let pressure = pressure(self.session, self.shared, self.all_unread());
        let row = &mut *self.connection;
        row.flow.on_received(&row.recv, bytes, &pressure)
    }

    /// Wakes a blocked writer once there is space worth waking it for: half of its buffer.
    pub(super) fn review_writer(&mut self) {
        let capacity = self.session.send_buffer();
        if self.send.wants_space
            && self.send.queued() <= capacity / 2
            && self.connection.writable(capacity) > 0
        {
            self.wake_writer();
        }
    }
}

/// Input of a connection's flow control beside itself.
fn pressure<'a>(session: &'a Common, shared: &Shared, unread: usize) -> Pressure<'a> {
    Pressure {
        limits: &session.config.limits,
        rtt: session.flow_rtt(),
        connections: shared.live,
        unread,
        windows: shared.totals.windows,
        short_of_memory: session.short_of_memory,
    }
}
