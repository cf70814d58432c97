//! Reconciliation: each end lists its connections, and a connection of one end alone is closed.
//!
//! On an ordered, reliable transport between two correct ends it never finds anything; it is the
//! net under an incorrect one.

use alloc::vec::Vec;

use super::Session;
use crate::connection::SessionSignal;
use crate::timers::Timer;
use crate::wire::{Body, Dialect};
use crate::{ConnectionId, Instant};

impl Session {
    pub(super) fn on_reconcile_timer(&mut self, now: Instant) {
        // An end that has lost everything must list it, too; one that never had anything need not.
        if self.connections.added() > 0 {
            self.common.outbox.set_list(now);
        }
        let next = now + self.common.config.timing.reconcile;
        self.common.timers.arm(Timer::Reconcile, next);
    }

    /// The list of this end's connections.
    pub(super) fn list(&mut self) -> Body {
        let ids: Vec<_> = self.connections.ids().collect();
        match self.common.dialect {
            Dialect::Base => self.base_list(ids),
            Dialect::Extended => Body::Sync { newest: self.common.ids.newest_remote(), ids },
        }
    }

    /// The remote's list (extended dialect). Messages are ordered, so a connection that it does not
    /// list, and whose Connect it has read, ended there without a message.
    pub(super) fn on_sync(&mut self, newest: ConnectionId, listed: &[ConnectionId]) {
        let ids = &self.common.ids;
        let missing: Vec<_> = self
            .connections
            .ids()
            .filter(|id| !ids.is_own(*id) || *id <= newest)
            .filter(|id| listed.binary_search(id).is_err())
            .collect();
        self.close_missing(missing);
    }

    pub(super) fn close_missing(&mut self, missing: Vec<ConnectionId>) {
        self.signal_all(missing, SessionSignal::NotListed, "the remote does not list it");
    }
}
