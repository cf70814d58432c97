//! Limits and counts of a registry, and the errors of a full one.

/// The default limit on clients: the open sockets of a tuned host.
const AGENTS: usize = 100_000;

/// Full servers whose clients are remembered.
const FULL_PEERS: usize = 5;

/// The limits of a registry. No remote can make it hold more.
///
/// A route takes about 600 bytes of memory with a client key of 100 bytes, and 1,400 with one of 512:
/// as many as the defaults allow take about 300 MB, and 700 MB with the longest keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Sessions of clients at a time: 100,000 unless set.
    pub agents: usize,
    /// Sessions of peers at a time, in each direction: 64 unless set.
    pub peers: usize,
    /// Clients that one peer announces: 100,000 unless set, those of a full server. A lower limit
    /// leaves out the clients that connected last.
    pub routes_per_peer: usize,
    /// Clients that all the peers announce: 500,000 unless set, those of five full servers.
    pub routes: usize,
    /// The longest client key or peer id, in bytes: 512 unless set.
    pub key: usize,
}

impl RegistryLimits {
    /// The limits of a server that takes `agents` clients, among peers that take as many each.
    ///
    /// Fewer than by default lower no other limit, because the peers may have more.
    #[must_use]
    pub const fn of_agents(agents: usize) -> Self {
        let of_peer = if agents > AGENTS { agents } else { AGENTS };
        Self {
            agents,
            // Every server is a peer of every other: more servers than this need another shape.
            peers: 64,
            routes_per_peer: of_peer,
            // A peer that announces nonsense leaves capacity for the others.
            routes: of_peer.saturating_mul(FULL_PEERS),
            // As long as the wire takes a client key.
            key: 512,
        }
    }
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self::of_agents(AGENTS)
    }
}

/// Why the registry does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The remote gave no client key or peer id.
    #[error("the remote gave an empty key")]
    EmptyKey,
    /// The remote gave a client key or peer id that is too long.
    #[error("the remote gave a key of {length} bytes, the limit is {limit}")]
    KeyTooLong {
        /// Its bytes.
        length: usize,
        /// [`RegistryLimits::key`](RegistryLimits::key).
        limit: usize,
    },
    /// This server has as many clients as it takes.
    #[error("this server has no room for another client, the limit is {limit}")]
    TooManyAgents {
        /// [`RegistryLimits::agents`](RegistryLimits::agents).
        limit: usize,
    },
    /// This server has as many peers as it takes.
    #[error("this server has no room for another peer, the limit is {limit}")]
    TooManyPeers {
        /// [`RegistryLimits::peers`](RegistryLimits::peers).
        limit: usize,
    },
    /// An end that did not prove to be a peer server announces clients.
    #[error("the remote announces clients without being a peer")]
    NotAPeer,
    /// The session is no longer registered; its later messages do not count.
    #[error("the session is no longer registered")]
    NotRegistered,
    /// One peer announces more clients than this server remembers of one.
    #[error("the peer announces more clients than the limit of {limit}")]
    TooManyRoutesOfPeer {
        /// [`RegistryLimits::routes_per_peer`](RegistryLimits::routes_per_peer).
        limit: usize,
    },
    /// All the peers together announce more clients than this server remembers.
    #[error("the peers together announce more clients than the limit of {limit}")]
    TooManyRoutes {
        /// [`RegistryLimits::routes`](RegistryLimits::routes).
        limit: usize,
    },
}

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
    /// Whether nothing was lost: added = removed + live.
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
        debug_assert!(self.removed < self.added, "more rows are removed than were added");
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

    /// One tally in each of the three fields in turn, the other one in the other two.
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
