/// Why the registry does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The other end gave no client key or peer id.
    #[error("the peer gave an empty key")]
    EmptyKey,
    /// The other end gave a client key or peer id that is too long.
    #[error("the peer gave a key of {length} bytes, the limit is {limit}")]
    KeyTooLong {
        /// Its bytes.
        length: usize,
        /// [`RegistryLimits::key`](super::RegistryLimits::key).
        limit: usize,
    },
    /// This server has as many clients as it takes.
    #[error("this server has no room for another client, the limit is {limit}")]
    TooManyAgents {
        /// [`RegistryLimits::agents`](super::RegistryLimits::agents).
        limit: usize,
    },
    /// This server has as many peers as it takes.
    #[error("this server has no room for another peer, the limit is {limit}")]
    TooManyPeers {
        /// [`RegistryLimits::peers`](super::RegistryLimits::peers).
        limit: usize,
    },
    /// An end that did not prove to be a peer server announces clients.
    #[error("the other end announces clients without being a peer")]
    NotAPeer,
    /// The session is no longer registered; what it still sends does not count.
    #[error("the session is no longer registered")]
    Gone,
    /// One peer announces more clients than this server remembers of one.
    #[error("the peer announces more clients than the limit of {limit}")]
    TooManyRoutesOfPeer {
        /// [`RegistryLimits::routes_per_peer`](super::RegistryLimits::routes_per_peer).
        limit: usize,
    },
    /// All the peers together announce more clients than this server remembers.
    #[error("the peers together announce more clients than the limit of {limit}")]
    TooManyRoutes {
        /// [`RegistryLimits::routes`](super::RegistryLimits::routes).
        limit: usize,
    },
}
