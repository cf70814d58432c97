//! The ledger of a registry.

/// How many rows a registry has seen and has, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistryLedger {
    /// Sessions of clients.
    pub agents: Tally,
    /// Sessions of peers, in both directions.
    pub peers: Tally,
    /// Clients that peers announced.
    pub routes: Tally,
}

/// Rows of one kind.
///
/// The live ones are counted in the tables, not computed from the other two, so that a row that
/// goes astray shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Inserted, ever.
    pub added: u64,
    /// Removed, ever.
    pub removed: u64,
    /// There now.
    pub live: u64,
}

impl RegistryLedger {
    /// Whether nothing was lost: what was added is there or was removed.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.agents.is_balanced() && self.peers.is_balanced() && self.routes.is_balanced()
    }

    /// Whether nothing is there: how a server ends.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.agents.live == 0 && self.peers.live == 0 && self.routes.live == 0
    }
}

impl Tally {
    const fn is_balanced(&self) -> bool {
        self.added.wrapping_sub(self.removed) == self.live
    }
}

/// The part of a [`Tally`] that is counted as rows come and go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    added: u64,
    removed: u64,
}

impl Counter {
    pub(super) const fn add(&mut self) {
        self.added += 1;
    }

    pub(super) const fn remove(&mut self) {
        self.removed += 1;
    }

    pub(super) fn tally(self, live: usize) -> Tally {
        let Self { added, removed } = self;
        Tally { added, removed, live: live.try_into().unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Tally = Tally { added: 3, removed: 1, live: 1 };
    const THERE: Tally = Tally { added: 3, removed: 1, live: 2 };
    const GONE: Tally = Tally { added: 3, removed: 3, live: 0 };

    /// With the one tally in each of the three places, and the other one in the other two.
    fn each(one: Tally, other: Tally) -> [RegistryLedger; 3] {
        [
            RegistryLedger { agents: one, peers: other, routes: other },
            RegistryLedger { agents: other, peers: one, routes: other },
            RegistryLedger { agents: other, peers: other, routes: one },
        ]
    }

    #[test]
    fn a_row_that_went_astray_shows_wherever_it_was() {
        assert!(each(THERE, GONE).iter().all(RegistryLedger::is_balanced));
        assert!(!each(LOST, GONE).iter().any(RegistryLedger::is_balanced));
    }

    #[test]
    fn a_row_that_is_there_shows_wherever_it_is() {
        assert!(each(GONE, GONE).iter().all(RegistryLedger::is_empty));
        assert!(!each(THERE, GONE).iter().any(RegistryLedger::is_empty));
    }
}
