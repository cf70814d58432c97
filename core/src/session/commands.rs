//! What the application wants.

use core::time::Duration;

use alloc::string::ToString;

use bytes::Bytes;

use super::{Control, Event, NotPossible, OpenError, ReadError, Session, WriteError};
use crate::connection::{Connection, Linger, Phase, RecvHalf, SendHalf, Signal, Then};
use crate::registry::{Unspeakable, check_route};
use crate::timers::Timer;
use crate::wire::{Body, ClientRoute, ResetCode, base};
use crate::{ConnectionId, Instant};

impl Session {
    /// Dials `target` on the other end's side. [`Event::Opened`] or [`Event::Retired`] answers
    /// within `within`, which is the configured time where it is `None`.
    ///
    /// The base dialect has no answer: there the connection counts as opened at once, and a dial
    /// that fails ends it.
    ///
    /// # Errors
    /// Nothing was sent: see [`OpenError`].
    pub fn open(
        &mut self,
        now: Instant,
        target: &str,
        within: Option<Duration>,
    ) -> Result<ConnectionId, OpenError> {
        let now = self.at(now);
        self.may_open(target)?;
        self.make_room();
        self.has_room()?;
        let within = within.unwrap_or(self.config.timing.dial);
        let id = self.numbers.allot();
        let phase = Phase::opening(self.extended());
        self.insert(id, Connection::new(phase, self.initial_credit(), self.recv_buffer(), false));
        if self.extended() {
            self.dials.insert(id, target);
            self.set_timer(id, Some((Timer::Dial(id), within)));
        } else {
            self.events.push_back(Event::Opened(id));
        }
        let within_millis = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        self.outbox.push(now, Control::Connect { id, target: target.to_string(), within_millis });
        Ok(id)
    }

    /// Whether a dial would go out if there is room for the connection.
    fn may_open(&self, target: &str) -> Result<(), OpenError> {
        let limits = &self.config.limits;
        let max_target = if self.extended() {
            limits.max_target
        } else {
            limits.max_target.min(base::MAX_TARGET)
        };
        if self.ended.is_some() {
            Err(OpenError::Closed)
        } else if self.is_going_away() {
            Err(OpenError::GoingAway)
        } else if !self.extended() && !target.contains('/') {
            Err(OpenError::NoAddress)
        } else if target.len() > max_target {
            Err(OpenError::TargetTooLong { length: target.len(), limit: max_target })
        } else if self.table.totals().opening >= limits.max_dials {
            Err(OpenError::TooManyDials(self.table.totals().opening))
        } else if let Some(pending) = self.dials.excess(target, limits.max_dials) {
            Err(OpenError::TooManyDialsOfTarget(pending))
        } else if self.outbox.queued_answers() >= limits.max_queued_control / 2 {
            Err(OpenError::Congested)
        } else {
            Ok(())
        }
    }

    fn has_room(&self) -> Result<(), OpenError> {
        let peer_connections = self.peer.map_or(u64::MAX, |peer| peer.max_connections);
        let (own, connections) = (self.config.limits.max_connections, self.table.len());
        if connections >= own || connections as u64 >= peer_connections {
            return Err(OpenError::TooManyConnections(connections));
        }
        Ok(())
    }

    /// Answers a dial of the other end: it succeeded.
    ///
    /// # Errors
    /// The dial is over, by its deadline or by the other end's doing; undo it.
    pub fn accept(&mut self, now: Instant, id: ConnectionId) -> Result<(), NotPossible> {
        let now = self.at(now);
        self.command(id, Signal::Accept, "")?;
        if self.extended() {
            self.outbox.push(now, Control::Connection { id, body: Body::Opened });
        }
        // The application may have tried to write before it answered.
        self.review_writer(id);
        Ok(())
    }

    /// Answers a dial of the other end: it failed, or is not allowed.
    ///
    /// # Errors
    /// The dial is over already.
    pub fn refuse(
        &mut self,
        now: Instant,
        id: ConnectionId,
        code: ResetCode,
        text: &str,
    ) -> Result<(), NotPossible> {
        self.at(now);
        self.command(id, Signal::Refuse(code), text)
    }

    /// Takes bytes to send from the front of `data`, as many as there is room for, and says how
    /// many. They are on their way: what was taken needs nothing more from the application or the
    /// other end's reader.
    ///
    /// # Errors
    /// Nothing was taken: see [`WriteError`].
    pub fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &mut Bytes,
    ) -> Result<usize, WriteError> {
        let room = self.room(now, id)?;
        let max_data = self.max_data();
        let taken = self.table.update(id, |row| {
            let taken = row.send.push(data, room, max_data);
            row.flag.took(taken);
            taken
        });
        let taken = taken.unwrap_or(0);
        if taken > 0 {
            self.mark_ready(id);
            self.review_stop(id);
            if !self.extended() {
                self.review_flow(id);
            }
        }
        Ok(taken)
    }

    /// How many bytes [`write`](Self::write) would take now; never zero.
    ///
    /// # Errors
    /// As for `write`.
    pub fn room(&mut self, now: Instant, id: ConnectionId) -> Result<usize, WriteError> {
        self.at(now);
        let row = self.table.get(id).ok_or(WriteError::Unknown)?;
        match row.phase {
            Phase::Open { send: SendHalf::Open, .. } => {}
            Phase::Over { cause, .. }
            | Phase::Lingering(Linger::Flush(Then::Reset { cause, .. })) => {
                return Err(WriteError::Ended(row.end(cause)));
            }
            Phase::Open { .. } | Phase::Lingering(_) => return Err(WriteError::Finished),
            Phase::Opening | Phase::Dialing(_) => return self.wait_for_room(id),
        }
        let limits = &self.config.limits;
        let budget = limits.send_budget.saturating_sub(self.table.totals().to_send);
        let room = self.room_of(row).min(budget);
        if room > 0 {
            return Ok(room);
        }
        if budget == 0 {
            self.wait_for_budget(id);
        }
        self.wait_for_room(id)
    }

    fn wait_for_room(&mut self, id: ConnectionId) -> Result<usize, WriteError> {
        let waited =
            self.table.update(id, |row| core::mem::replace(&mut row.send.wants_room, true));
        if waited == Some(false) {
            self.probe_soon(id);
        }
        Err(WriteError::Blocked)
    }

    fn wait_for_budget(&mut self, id: ConnectionId) {
        let waits = self.table.update(id, |row| core::mem::replace(&mut row.wants_budget, true));
        if waits == Some(false) {
            self.budget_waiters.push(id);
        }
    }

    /// The next bytes that arrived, at most `max` of them (which is not zero), without copying.
    /// Empty at the end of the other end's direction.
    ///
    /// Once nothing is left to read and to say, the connection is retired: the end of the other
    /// direction is then known by [`Event::Retired`], whose end is `complete`.
    ///
    /// # Errors
    /// Nothing was read: see [`ReadError`].
    pub fn read(&mut self, now: Instant, id: ConnectionId, max: usize) -> Result<Bytes, ReadError> {
        self.at(now);
        let row = self.table.get(id).ok_or(ReadError::Unknown)?;
        if row.recv.unread() == 0 {
            return self.read_nothing(id);
        }
        let data = self.table.update(id, |row| row.recv.read(max)).unwrap_or_default();
        self.after_read(id);
        Ok(data)
    }

    fn read_nothing(&mut self, id: ConnectionId) -> Result<Bytes, ReadError> {
        let row = self.table.get(id).ok_or(ReadError::Unknown)?;
        match row.phase {
            Phase::Open { recv: RecvHalf::Finished | RecvHalf::Drained, .. } => Ok(Bytes::new()),
            Phase::Lingering(Linger::Flush(Then::Reset { cause, .. })) => {
                Err(ReadError::Ended(row.end(cause)))
            }
            // One that is over has something left to read: otherwise it is retired.
            _ => {
                self.table.update(id, |row| row.recv.wants_data = true);
                Err(ReadError::Blocked)
            }
        }
    }

    fn after_read(&mut self, id: ConnectionId) {
        let Some(row) = self.table.get(id) else { return };
        let ended =
            matches!(row.phase, Phase::Over { .. } | Phase::Open { recv: RecvHalf::Finished, .. });
        if ended && row.recv.unread() == 0 {
            // The table has no violation for this signal.
            self.apply(id, Signal::Drained, "").ok();
        } else {
            self.review_flow(id);
            self.linger_anew(id);
        }
    }

    /// Finishes our direction: no more bytes follow those written. The other direction goes on.
    ///
    /// The base dialect cannot say this; there the connection stays readable for as long as
    /// something arrives within the linger time, and is then closed in both directions.
    ///
    /// # Errors
    /// There is no such connection, its dial is not answered yet, or the other end has cut it off.
    pub fn finish(&mut self, now: Instant, id: ConnectionId) -> Result<(), NotPossible> {
        self.at(now);
        self.command(id, Signal::FinishWrite, "")
    }

    /// Ends both directions for the application now. What is unread is thrown away. What was written
    /// is still sent, and the reset follows it, for as long as the transport takes some of it within
    /// the linger time.
    ///
    /// # Errors
    /// There is no such connection.
    pub fn reset(
        &mut self,
        now: Instant,
        id: ConnectionId,
        code: ResetCode,
        text: &str,
    ) -> Result<(), NotPossible> {
        self.at(now);
        self.command(id, Signal::Abort(code), text)
    }

    /// Gives the handle of a connection back: the application will not ask for it again. Before
    /// [`finish`](Self::finish) this is a [`reset`](Self::reset); after it, what was written still
    /// arrives, and then the end of file. A connection that is gone already is no error.
    pub fn release(&mut self, now: Instant, id: ConnectionId) {
        self.at(now);
        self.command(id, Signal::Release, "the application let go of the connection").ok();
    }

    /// Announces to a peer server that a client is reachable through this end, or no longer is.
    /// A route is announced once, and not after it was taken back; taking back one that was not
    /// announced, or not yet, does no harm.
    ///
    /// # Errors
    /// The other end would take it for another route, or end the session over it: see
    /// [`Unspeakable`].
    pub fn announce(
        &mut self,
        now: Instant,
        route: ClientRoute,
        reachable: bool,
    ) -> Result<(), Unspeakable> {
        let now = self.at(now);
        check_route(self.dialect, &route)?;
        if self.ended.is_none() {
            self.outbox.push_route(now, route, reachable);
        }
        Ok(())
    }

    fn command(&mut self, id: ConnectionId, signal: Signal, text: &str) -> Result<(), NotPossible> {
        match self.apply(id, signal, text) {
            Ok(true) => Ok(()),
            // The table has no violation for the application's signals.
            Ok(false) | Err(_) => Err(NotPossible(id)),
        }
    }
}
