//! What bounds a registry, and the errors of a full one.

/// How many clients a server takes unless it is told otherwise: as many as open sockets that a
/// tuned host has.
const AGENTS: usize = 100_000;

/// Full servers whose clients are remembered.
const FULL_PEERS: usize = 5;

/// How much a registry holds. Whoever connects cannot make it hold more.
///
/// A route takes about 600 bytes of memory with a client key of 100 bytes, and 1,400 with one of 512:
/// as many as the defaults allow take about 300 MB, and 700 MB with the longest keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Sessions of clients at a time: 100,000 unless set.
    pub agents: usize,
    /// Sessions of peers at a time, in each direction: 64 unless set.
    pub peers: usize,
    /// Clients that one peer announces: 100,000 unless set, those of a full server. Fewer than a
    /// peer has leave out those that connected last.
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
            // A peer that announces nonsense leaves room for the others.
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
    /// The session is no longer registered; what it still sends does not count.
    #[error("the session is no longer registered")]
    Gone,
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
