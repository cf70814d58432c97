//! What the connections of a session share: totals of them, and lists of them.

use super::id_queue::IdQueue;
use super::pending_dials::PendingDials;
use super::schedule::Schedule;
use crate::connection::{Connection, Phase};
use crate::ledger::Removed;
use crate::timers::Deadlines;
use crate::{ConnectionId, Instant};

/// What the rows hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Totals {
    /// Pending outbound dials.
    pub(super) outbound: usize,
    /// Pending inbound dials.
    pub(super) inbound: usize,
    /// Bytes queued toward the transport.
    pub(super) to_send: usize,
    /// Bytes received and not read.
    pub(super) unread: usize,
    pub(super) windows: u64,
}

impl Totals {
    pub(super) fn of(connection: &Connection) -> Self {
        Self {
            outbound: usize::from(connection.phase == Phase::PendingOutbound),
            inbound: usize::from(matches!(connection.phase, Phase::PendingInbound(_))),
            to_send: connection.send.queued(),
            unread: connection.recv.unread(),
            windows: connection.flow.window(),
        }
    }

    pub(super) fn add(&mut self, row: Self) {
        self.outbound += row.outbound;
        self.inbound += row.inbound;
        self.to_send += row.to_send;
        self.unread += row.unread;
        self.windows += row.windows;
    }

    fn subtract(&mut self, row: Self) {
        self.outbound -= row.outbound;
        self.inbound -= row.inbound;
        self.to_send -= row.to_send;
        self.unread -= row.unread;
        self.windows -= row.windows;
    }
}

/// What the rows share: totals of them, and lists of them.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Shared {
    pub(super) totals: Totals,
    pub(super) live: usize,
    pub(super) added: u64,
    pub(super) removed: Removed,
    pub(super) outbound: PendingDials,
    pub(super) inbound: PendingDials,
    /// Connections with bytes or a Finish to send.
    pub(super) ready: Schedule,
    /// Connections that owe the remote a Credit, Pause or Resume.
    pub(super) updates: IdQueue,
    /// Connections whose writers wait for the session's send budget.
    pub(super) budget: IdQueue,
    pub(super) deadlines: Deadlines,
    /// When the transport last took a message, or something was queued for it while nothing was.
    pub(super) since: Instant,
}

impl Shared {
    /// Whether no connection waits for the transport.
    pub(super) fn is_idle(&self) -> bool {
        self.updates.is_empty() && self.ready.is_empty()
    }

    /// A connection is about to wait for the transport.
    pub(super) fn touch(&mut self, now: Instant) {
        if self.is_idle() {
            self.since = now;
        }
    }

    /// The transport took a message, or found none; or connections have left the queues.
    pub(super) fn progressed(&mut self, now: Instant) {
        // No time is kept while nothing waits: equal states are equal.
        self.since = if self.is_idle() { Instant::EPOCH } else { now };
    }

    /// A row changed from what `before` counts to what `after` counts.
    pub(super) fn account(&mut self, id: ConnectionId, before: Totals, after: Totals) {
        self.totals.subtract(before);
        self.totals.add(after);
        if before.outbound > after.outbound {
            self.outbound.remove(id);
        }
        if before.inbound > after.inbound {
            self.inbound.remove(id);
        }
    }
}
