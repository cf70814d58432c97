//! Flow control: what the remote is sent about it, and which writers it wakes.

use super::common::Common;
use super::input::Handled;
use super::row::Row;
use super::shared::Shared;
use super::{Event, ProtocolViolation, Session};
use crate::connection::{Excess, Flow, Pressure};
use crate::wire::Body;
use crate::{ConnectionId, Instant};

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
    /// Bytes arrived or were read: queues the connection if the remote has to hear of it.
    pub(super) fn review_update(&mut self) {
        let pressure = pressure(self.session, self.shared, self.all_unread());
        if self.flow.update_is_due(self.phase, &self.recv, &pressure) {
            self.mark_update();
        }
    }

    /// The message that the connection owes the remote; none if it does not owe it any more.
    pub(super) fn update(&mut self) -> Option<Body> {
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

/// What decides about a connection's flow control beside itself.
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
