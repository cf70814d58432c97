//! Servers that dial through each other.
//!
//! A server connects to each of its peers, and announces its clients in that session; the peer dials
//! them through it. Two servers that serve each other have a session in each direction. Nothing goes
//! in circles: only a server's own clients are announced, and a dial that a peer asks for ends at
//! one of them.

mod book;
mod contest;
mod discovery;
mod error;
mod incoming;
mod info;
mod link;
mod membership;
mod peer;
mod registered;
mod relay;
mod serve;

use super::Server;

pub(super) use book::{Claim, PeerBook};
pub(super) use contest::Contests;
pub use discovery::PeerDiscovery;
pub use error::PeerError;
pub(super) use incoming::{Claimed, PeerAdmission};
pub use info::{IncomingPeerInfo, PeerDirection, PeerInfo};
pub use peer::{Peer, PeerIdentity};

/// Peering, with servers of this kind and with remotedialer's.
impl Server {
    /// Connects to a peer, again and again until it is [removed](Self::remove_peer), so that it can
    /// dial the clients here; and takes it for one when it connects to this server by WebSocket, so
    /// that the clients it announces can be dialled through it. A byte stream has no way to say
    /// that it comes from a peer.
    ///
    /// A peer with the same id is replaced: its sessions end at once. If it is the same in
    /// everything else as well, nothing happens.
    ///
    /// # Errors
    /// It cannot be a peer, see [`PeerError`], or there are as many as
    /// [`RegistryLimits::peers`](watertight_core::registry::RegistryLimits::peers) allows.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn add_peer(&self, peer: Peer) -> Result<(), PeerError> {
        self.inner.add_peer(peer, None)
    }

    /// Looks for peers until the server ends: each address that is found is one, and no longer one
    /// when it is not found any more. An address that is this server's own id is left out. A look-up
    /// that fails, or takes more than 30 s, changes nothing.
    ///
    /// Peers that are [given](Self::add_peer) by their ids stay as they are given, whatever is
    /// found. One that is found and [removed](Self::remove_peer) by hand is found again.
    ///
    /// # Errors
    /// None of them could be a peer, see [`PeerError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn discover_peers(&self, discovery: PeerDiscovery) -> Result<(), PeerError> {
        self.inner.discover_peers(discovery)
    }

    /// Ends the peer with this id: it is not connected to any more and no longer authorised, the
    /// clients that it announced are not found there any more, and its sessions in both directions
    /// are closed now, with all their connections. `false` if there is none.
    pub fn remove_peer(&self, id: &str) -> bool {
        self.inner.remove_peer(id, None)
    }

    /// The peers, in the order of their ids.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.inner.sessions().peers()
    }

    /// The ids of the peers that announce this client, which are tried in this order where it is not
    /// connected here: the one that announced it first is in front.
    #[must_use]
    pub fn peers_of(&self, key: &str) -> Vec<String> {
        self.inner.sessions().peers_of(key)
    }
}
