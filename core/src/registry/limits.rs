/// How much a registry holds. Whoever connects cannot make it hold more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Sessions of clients at a time.
    pub agents: usize,
    /// Sessions of peers at a time, in each direction.
    pub peers: usize,
    /// Clients that one peer announces.
    pub routes_per_peer: usize,
    /// Clients that all the peers announce.
    pub routes: usize,
    /// The longest client key or peer id, in bytes.
    pub key: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self {
            // As many as open sockets that a tuned host has.
            agents: 100_000,
            // Every server is a peer of every other: more servers than this need another shape.
            peers: 64,
            // A tenth of the agents of a full server, so that a peer that announces nonsense
            // leaves room for the others.
            routes_per_peer: 10_000,
            // With keys of 100 bytes, about 20 MiB.
            routes: 50_000,
            // As long as the wire takes a client key.
            key: 512,
        }
    }
}
