//! Ended sessions of one server or agent, and entries of its tables that no ledger counts.

use std::sync::Arc;

use watertight_core::Ledger;

use super::shared::Shared;

/// The ledger of one end's sessions that have ended. Running sessions are in their owner's table.
#[derive(Debug, Default)]
pub(crate) struct PastSessions {
    /// Sessions of which the application still holds some connections.
    held: Vec<Arc<Shared>>,
    /// The sum of the settled sessions.
    past: Ledger,
}

impl PastSessions {
    /// Adds an ended session, and drops settled ones: the sum may never be requested.
    pub(crate) fn add(&mut self, session: Arc<Shared>) {
        self.settle();
        let ledger = session.ledger();
        let balance = ledger.removed.total() + ledger.live;
        debug_assert_eq!(ledger.added, balance, "the ledger of an ended session is balanced");
        if ledger.is_settled() {
            self.past.absorb(&ledger);
        } else {
            self.held.push(session);
        }
    }

    /// The ledger of all sessions, `running` included.
    pub(crate) fn sum<'a>(&'a mut self, running: impl Iterator<Item = &'a Arc<Shared>>) -> Ledger {
        self.settle();
        let mut sum = self.past;
        let all = running.chain(&self.held);
        all.for_each(|session| sum.absorb(&session.ledger()));
        let balance = sum.removed.total() + sum.live;
        debug_assert_eq!(sum.added, balance, "a sum of balanced ledgers is balanced");
        sum
    }

    /// Sessions that still hold something for the application.
    pub(crate) fn held(&self) -> Vec<Arc<Shared>> {
        self.held.clone()
    }

    /// Moves settled sessions into the sum.
    fn settle(&mut self) {
        let past = &mut self.past;
        self.held.retain(|session| {
            let ledger = session.ledger();
            if ledger.is_settled() {
                past.absorb(&ledger);
            }
            !ledger.is_settled()
        });
    }
}

/// Entries of the adapter's own tables, which no ledger counts. For simulations, which detect
/// entries that are never removed.
#[cfg(feature = "simulation")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// Connections that the application holds, in all sessions.
    pub streams: usize,
    /// Permits that are held: those of clients in their handshakes.
    pub permits: usize,
    /// Sockets without a session: running handshakes, and waiting sockets.
    pub handshakes: usize,
    /// Sessions of clients and of incoming peers of which a task is alive.
    pub sessions: usize,
    /// Sessions that have ended, but are not settled.
    pub held: usize,
}

#[cfg(test)]
mod tests {
    use tracing::Span;
    use watertight_core::wire::Dialect;
    use watertight_core::{Role, Session, SessionConfig};

    use super::*;
    use crate::session::Buffers;
    use crate::sync::Clock;

    /// A session with a connection that an application holds.
    fn session() -> Arc<Shared> {
        let (clock, config) = (Clock::start(), SessionConfig::default());
        let core = Session::new(clock.now(), Role::Acceptor, Dialect::Extended, config);
        let session = Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default());
        session.command(|core, now| core.open(now, "tcp/web:80", None)).unwrap();
        session
    }

    #[tokio::test]
    async fn settled_sessions_are_dropped_without_a_request_for_the_sum() {
        let mut past = PastSessions::default();
        for _ in 0..3 {
            let session = session();
            past.add(Arc::clone(&session));
            assert_eq!(past.held().len(), 1);
            // The application drops its streams.
            session.command(|core, now| core.force_close(now));
        }
        let sum = past.sum(std::iter::empty());
        assert_eq!((sum.added, sum.live, past.held().len()), (3, 0, 0));
    }
}
