use std::sync::Arc;

use watertight_core::Ledger;

use super::state::Shared;

/// The books of one end's sessions that have ended. Those that run are kept by their owner.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Sessions of which the application still holds some connections.
    held: Vec<Arc<Shared>>,
    /// The sum of those of which nothing is left.
    past: Ledger,
}

impl Books {
    /// Takes in a session that has ended.
    pub(crate) fn close(&mut self, session: Arc<Shared>) {
        let ledger = session.ledger();
        if ledger.is_even() {
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
            if ledger.is_even() {
                past.absorb(&ledger);
            }
            !ledger.is_even()
        });
    }
}
