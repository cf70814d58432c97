//! Flow control: who may send how much, and who is woken when that changes.

use core::time::Duration;

use super::{Event, Session};
use crate::connection::{Bounds, Connection, Standing};
use crate::wire::Body;
use crate::{ConnectionId, Instant};

/// What a round trip is taken for before one was measured: a slow one, so that windows grow.
const ASSUMED_RTT: Duration = Duration::from_millis(100);

/// What a round trip is taken for at least. The ping of an idle session between near ends takes
/// less than the turns that busy ones wait for each other, and windows that it measures hold them
/// back.
const LEAST_RTT: Duration = Duration::from_millis(1);

impl Session {
    /// Puts a connection in the queue of those with something to send.
    pub(super) fn mark_ready(&mut self, id: ConnectionId) {
        let fresh = self.table.update(id, |row| {
            let idle = row.standing == Standing::Idle;
            if idle {
                row.standing = Standing::Fresh;
            }
            idle
        });
        if fresh == Some(true) {
            self.outbox.push_ready(self.now, id);
        }
    }

    /// Puts a connection in the queue of those that owe the other end credit, Pause or Resume.
    pub(super) fn mark_flow(&mut self, id: ConnectionId) {
        let queued = self.table.update(id, |row| core::mem::replace(&mut row.owes_flow, true));
        if queued == Some(false) {
            self.outbox.push_flow(self.now, id);
        }
    }

    /// After bytes arrived or were read: does the other end have to hear of it?
    pub(super) fn review_flow(&mut self, id: ConnectionId) {
        let Some(row) = self.table.get(id) else { return };
        // Where nothing more is taken in, the other end has nothing to hear of it.
        let due = if self.extended() {
            row.phase.delivers() && row.recv.grant_is_due()
        } else {
            let pause = row.phase.delivers() && self.should_pause(row);
            row.phase.is_live() && (pause != row.flag.holds() || row.flag.is_due())
        };
        if due {
            self.mark_flow(id);
        }
    }

    /// What the other end has to hear of a connection's flow when it is this one's turn; nothing
    /// if it has changed back.
    pub(super) fn flow_message(&mut self, now: Instant, id: ConnectionId) -> Option<Body> {
        self.table.update(id, |row| row.owes_flow = false)?;
        if self.extended() { self.credit_message(now, id) } else { self.pause_message(id) }
    }

    fn credit_message(&mut self, now: Instant, id: ConnectionId) -> Option<Body> {
        if self.table.get(id)?.phase.received_all() {
            return None;
        }
        let limits = &self.config.limits;
        let grown = self
            .table
            .totals()
            .windows
            .saturating_sub(limits.initial_window.saturating_mul(self.table.len() as u64));
        let rtt = self.keepalive.rtt().unwrap_or(ASSUMED_RTT).max(LEAST_RTT);
        let bounds = Bounds {
            free: limits.free_window,
            max: limits.max_window,
            left: if self.short_of_memory { 0 } else { limits.window_budget.saturating_sub(grown) },
        };
        let (short, first) = (self.short_of_memory, limits.initial_window);
        let bytes = self.table.update(id, |row| {
            if short {
                row.recv.shrink(first);
            }
            row.recv.grant(now, rtt, bounds)
        })?;
        (bytes > 0).then_some(Body::Credit { bytes })
    }

    fn pause_message(&mut self, id: ConnectionId) -> Option<Body> {
        let row = self.table.get(id)?;
        let holds = row.phase.delivers() && self.should_pause(row);
        let pause = self.table.update(id, |row| {
            row.flag.set_holds(holds);
            row.flag.message()
        })??;
        self.review_stop(id);
        self.review_writer(id);
        Some(if pause { Body::Pause } else { Body::Resume })
    }

    /// Whether a connection toward a remotedialer end should be paused, with what is unread.
    fn should_pause(&self, row: &Connection) -> bool {
        let (unread, pausing) = (row.recv.unread(), row.flag.holds());
        let limits = &self.config.limits;
        let tight = self.short_of_memory || self.table.totals().received > limits.unread_budget / 4;
        let above = if tight {
            // However many connections there are, those that obey stay within the budget.
            limits.resume_below.min(limits.unread_budget / 8 / self.table.len().max(1))
        } else if pausing {
            limits.resume_below
        } else {
            limits.pause_above
        };
        unread > above
    }

    pub(super) fn wake_reader(&mut self, id: ConnectionId) {
        let waits =
            self.table.update(id, |row| core::mem::replace(&mut row.recv.wants_data, false));
        if waits == Some(true) {
            self.events.push_back(Event::Readable(id));
        }
    }

    pub(super) fn wake_writer(&mut self, id: ConnectionId) {
        let waits =
            self.table.update(id, |row| core::mem::replace(&mut row.send.wants_room, false));
        if waits == Some(true) {
            self.events.push_back(Event::Writable(id));
        }
    }

    /// Wakes a blocked writer once there is room worth waking for: half of its buffer.
    pub(super) fn review_writer(&mut self, id: ConnectionId) {
        let capacity = self.send_buffer();
        let room = self.table.get(id).is_some_and(|row| {
            row.send.wants_room && row.send.queued() <= capacity / 2 && self.room_of(row) > 0
        });
        if room {
            self.wake_writer(id);
        }
    }

    /// Wakes those that wait for the session's send budget, once half of it is free.
    pub(super) fn wake_budget_waiters(&mut self) {
        if self.table.totals().to_send > self.config.limits.send_budget / 2 {
            return;
        }
        while let Some(id) = self.budget_waiters.pop() {
            self.table.update(id, |row| row.wants_budget = false);
            self.wake_writer(id);
        }
    }
}
