//! One connection together with everything that a change of it touches.

use core::ops::{Deref, DerefMut};
use core::time::Duration;

use super::Event;
use super::common::Common;
use super::shared::{Shared, Totals};
use crate::ConnectionId;
use crate::connection::{Connection, Scheduling};
use crate::ledger::Cause;
use crate::timers::{Deadline, Timer};

/// A connection, with what it shares with the others and with the session.
///
/// [`Connections::with`](super::connections::Connections::with) makes it, and brings the totals up
/// to date when the change is over.
pub(super) struct Row<'a> {
    pub(super) id: ConnectionId,
    pub(super) connection: &'a mut Connection,
    pub(super) shared: &'a mut Shared,
    pub(super) session: &'a mut Common,
    /// What the totals count for this row until the change is over.
    before: Totals,
    retired: Option<Cause>,
}

impl Deref for Row<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for Row<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

impl<'a> Row<'a> {
    pub(super) fn new(
        id: ConnectionId,
        connection: &'a mut Connection,
        shared: &'a mut Shared,
        session: &'a mut Common,
    ) -> Self {
        let before = Totals::of(connection);
        Self { id, connection, shared, session, before, retired: None }
    }

    pub(super) const fn before(&self) -> Totals {
        self.before
    }

    /// Unread bytes of all connections, with those that arrived or were read in this change.
    pub(super) const fn all_unread(&self) -> usize {
        self.shared.totals.unread - self.before.unread + self.connection.recv.unread()
    }

    pub(super) const fn retired(&self) -> Option<Cause> {
        self.retired
    }

    /// Marks the row for removal: the only way out. It leaves every queue now.
    pub(super) fn remove(&mut self, cause: Cause) {
        debug_assert!(self.retired.is_none(), "connection {} removed twice", self.id);
        self.leave_queues();
        self.set_deadline(None);
        self.retired = Some(cause);
    }

    /// Puts the connection into the schedule, if it is not there.
    pub(super) fn mark_ready(&mut self) {
        if self.scheduling == Scheduling::Idle {
            self.shared.touch(self.session.now);
            self.scheduling = Scheduling::New;
            self.shared.ready.push(self.id);
        }
    }

    /// Puts the connection into the queue of those that owe a Credit, Pause or Resume.
    pub(super) fn mark_update(&mut self) {
        if !self.owes_update {
            self.shared.touch(self.session.now);
            self.owes_update = true;
            self.shared.updates.push(self.id);
        }
    }

    /// Queues the writer for the session's send budget.
    pub(super) fn wait_for_budget(&mut self) {
        if !self.wants_budget {
            self.wants_budget = true;
            self.shared.budget.push(self.id);
        }
    }

    /// Takes the connection out of every queue, and takes its Connect back if it was not sent.
    pub(super) fn leave_queues(&mut self) {
        let scheduling = core::mem::take(&mut self.scheduling);
        self.shared.ready.forget(self.id, scheduling);
        if core::mem::take(&mut self.owes_update) {
            self.shared.updates.forget(self.id);
        }
        if core::mem::take(&mut self.wants_budget) {
            self.shared.budget.forget(self.id);
        }
        if self.shared.is_idle() {
            self.shared.progressed(self.session.now);
        }
        if !self.announced {
            self.session.outbox.forget_connect(self.id);
        }
    }

    /// Arms the connection's timer `after` now, in place of the one that was armed.
    pub(super) fn arm(&mut self, timer: Timer, after: Duration) {
        self.set_deadline(Some(Deadline { at: self.session.now + after, timer }));
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Deadline>) {
        if let Some(before) = core::mem::replace(&mut self.deadline, deadline) {
            self.shared.deadlines.remove(before);
        }
        if let Some(deadline) = deadline {
            self.shared.deadlines.insert(deadline);
        }
    }

    /// Reports the reader that found nothing.
    pub(super) fn wake_reader(&mut self) {
        if core::mem::take(&mut self.recv.wants_data) {
            self.session.events.push_back(Event::Readable(self.id));
        }
    }

    /// Reports the writer that found no space.
    pub(super) fn wake_writer(&mut self) {
        if core::mem::take(&mut self.send.wants_space) {
            self.session.events.push_back(Event::Writable(self.id));
        }
    }
}
