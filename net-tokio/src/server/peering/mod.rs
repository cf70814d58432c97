//! Servers that dial through each other.
//!
//! A server connects to each of its peers, and announces its clients in that session; the peer
//! dials them through it. Two servers that serve each other have a session in each direction. Dials
//! have no cycles: only a server's own clients are announced, and a dial of a peer ends at one of
//! them.

mod claim;
mod discovery;
mod link;
mod membership;
mod peer;
mod route_conflicts;
mod routes;
mod table;

use super::Server;

pub(super) use claim::Claimed;
pub use discovery::PeerDiscovery;
pub(super) use route_conflicts::RouteConflicts;
pub(super) use table::{Claim, PeerTable};

pub use peer::{IncomingPeerInfo, Peer, PeerDirection, PeerError, PeerIdentity, PeerInfo};

/// Peering, with servers of this kind and with remotedialer's.
impl Server {
    /// Connects to a peer, and reconnects until it is [removed](Self::remove_peer), so that it can
    /// dial the clients here; and accepts it as a peer when it connects to this server by
    /// WebSocket, so that its clients can be dialled through it. A byte stream cannot carry a
    /// peer's identity.
    ///
    /// A peer with the same id is replaced: its sessions end at once. If its configuration is the
    /// same as well, nothing happens.
    ///
    /// # Errors
    ///
    /// It cannot be a peer, see [`PeerError`], or
    /// [`RegistryLimits::peers`](watertight_core::registry::RegistryLimits::peers) is reached.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn add_peer(&self, peer: Peer) -> Result<(), PeerError> {
        self.inner.add_peer(peer, None)
    }

    /// Discovers peers until the server ends: each address that is found is one, until it is not
    /// found any more. An address that is this server's own id is left out. A look-up that fails,
    /// or takes more than 30 s, changes nothing.
    ///
    /// A discovery does not change peers that were [added](Self::add_peer) by their ids. If a peer
    /// that it found is [removed](Self::remove_peer) by hand, it is found again.
    ///
    /// # Errors
    ///
    /// None of them could be a peer, see [`PeerError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn discover_peers(&self, discovery: PeerDiscovery) -> Result<(), PeerError> {
        self.inner.discover_peers(discovery)
    }

    /// Removes the peer with this id: this server stops connecting to it and no longer authorises
    /// it, the routes that it announced are removed, and its sessions in both directions are closed
    /// now, with all their connections. `false` if there is none.
    pub fn remove_peer(&self, id: &str) -> bool {
        self.inner.remove_peer(id, None)
    }

    /// The peers, in the order of their ids.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.inner.sessions().peers()
    }

    /// The ids of the peers that announce this client, in the order in which they are tried where
    /// the client is not connected here: the first that announced it is first.
    #[must_use]
    pub fn peers_of(&self, key: &str) -> Vec<String> {
        self.inner.sessions().peers_of(key)
    }
}
