//! What tests see of a session: its timers, its credit, and the ledger counted again.

use alloc::vec::Vec;

use super::Session;
use super::connections::Connections;
use super::shared::Shared;
use crate::connection::{Connection, Flow, Phase, Scheduling};
use crate::time::Timer;
use crate::{ConnectionId, Instant};

impl Session {
    /// The armed timers, soonest first: the first one is what a stuck session waits for.
    pub fn timers(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        let stall = self.stall_since();
        let stall = stall.map(|at| (Timer::Stall, at + self.common.config.timing.stall));
        let deadlines = self.connections.shared().deadlines.iter();
        let mut timers: Vec<_> = self.common.timers.iter().chain(deadlines).chain(stall).collect();
        timers.sort_by_key(|(_, at)| *at);
        timers.into_iter()
    }

    /// Credit and its use in both directions of a connection, as running totals: `(sent, may
    /// send, granted)`. One end may send what the remote has granted.
    #[must_use]
    pub fn credit(&self, id: ConnectionId) -> Option<(u64, u64, u64)> {
        let row = self.connections.get(id)?;
        let sent = row.send.sent();
        Some(match &row.flow {
            Flow::Credit(credit) => (sent, credit.limit(), credit.granted()),
            Flow::PauseResume(_) => (sent, u64::MAX, u64::MAX),
        })
    }

    /// Counts everything in the ledger again, row by row.
    ///
    /// # Panics
    /// The ledger is wrong, which is a bug in this crate.
    pub fn check(&self) {
        self.connections.check();
    }
}

impl Connections {
    /// # Panics
    /// A total or a queue is wrong, which is a bug in this crate.
    fn check(&self) {
        self.check_totals();
        let Shared { totals, ready, updates, budget, .. } = self.shared();
        let pending = (self.shared().outbound.len(), self.shared().inbound.len());
        assert_eq!(pending, (totals.outbound, totals.inbound));
        for state in [Scheduling::New, Scheduling::Old, Scheduling::Current] {
            let queued = ready.iter().filter(|(_, scheduling)| *scheduling == state);
            check_queue("ready", queued.map(|(id, _)| id), self, |row| row.scheduling == state);
        }
        check_queue("updates", updates.iter(), self, |row| row.owes_update);
        check_queue("budget", budget.iter(), self, |row| row.wants_budget);
        self.check_rows();
    }

    fn check_rows(&self) {
        let deadlines = &self.shared().deadlines;
        for (id, row) in self.iter() {
            let armed = row.deadline.is_none_or(|deadline| deadlines.contains(deadline));
            assert!(armed, "{id} has a timer that is not armed");
            if let Flow::Credit(credit) = &row.flow {
                assert!(row.send.written() <= credit.limit(), "{id} wrote beyond its credit");
                assert!(row.recv.received() <= credit.granted(), "{id} received beyond its credit");
            }
            let readable = row.recv.unread() > 0 || !matches!(row.phase, Phase::Ended { .. });
            assert!(readable, "{id} has ended, and nothing is left to read");
        }
        let armed = self.iter().filter(|(_, row)| row.deadline.is_some()).count();
        assert_eq!(deadlines.len(), armed, "timers of connections that were removed");
    }
}

/// A queue has each connection whose row names the queue, once.
fn check_queue(
    name: &str,
    queue: impl Iterator<Item = ConnectionId>,
    connections: &Connections,
    is_queued: impl Fn(&Connection) -> bool,
) {
    let mut queued: Vec<_> = queue.collect();
    queued.sort_unstable();
    let rows = connections.iter().filter(|(_, row)| is_queued(row)).map(|(id, _)| id);
    assert!(queued.iter().copied().eq(rows), "the queue {name} is {queued:?}");
}
