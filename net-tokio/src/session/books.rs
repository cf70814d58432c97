use std::sync::Arc;

use watertight_core::Ledger;

use super::shared::Shared;

/// The books of one end's sessions that have ended. Those that run are kept by their owner.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Sessions of which the application still holds some connections.
    held: Vec<Arc<Shared>>,
    /// The sum of those of which nothing is left.
    past: Ledger,
}

impl Books {
    /// Takes in a session that has ended, and lets go of those that nobody holds any more: it may be that
    /// nobody ever asks for the sum.
    pub(crate) fn close(&mut self, session: Arc<Shared>) {
        self.settle();
        let ledger = session.ledger();
        if ledger.is_settled() {
            self.past.absorb(&ledger);
        } else {
            self.held.push(session);
        }
    }

    /// The books of every session, those that run included.
    pub(crate) fn sum<'a>(&'a mut self, running: impl Iterator<Item = &'a Arc<Shared>>) -> Ledger {
        self.settle();
        let mut sum = self.past;
        let all = running.chain(&self.held);
        all.for_each(|session| sum.absorb(&session.ledger()));
        sum
    }

    /// Sessions that still hold something for the application.
    pub(crate) fn held(&self) -> Vec<Arc<Shared>> {
        self.held.clone()
    }

    /// Takes the books of what nobody holds any more into the past.
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

#[cfg(test)]
mod tests {
    use tracing::Span;
    use watertight_core::wire::Dialect;
    use watertight_core::{Role, Session, SessionConfig};

    use super::*;
    use crate::session::{Buffers, Clock};

    /// A session with a connection that an application holds.
    fn session() -> Arc<Shared> {
        let (clock, config) = (Clock::start(), SessionConfig::default());
        let core = Session::new(clock.now(), Role::Acceptor, Dialect::Extended, config);
        let session = Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default());
        session.command(|core, now| core.open(now, "tcp/web:80", None)).unwrap();
        session
    }

    #[tokio::test]
    async fn sessions_that_nobody_holds_any_more_are_let_go_of_though_nobody_asks() {
        let mut books = Books::default();
        for _ in 0..3 {
            let session = session();
            books.close(Arc::clone(&session));
            assert_eq!(books.held().len(), 1);
            // The application lets go.
            session.command(|core, now| core.force_close(now));
        }
        let sum = books.sum(std::iter::empty());
        assert_eq!((sum.added, sum.live, books.held().len()), (3, 0, 0));
    }
}
