//! Servers that dial through each other.
//!
//! A server connects to each of its peers, and announces its clients in that session; the peer dials
//! them through it. Two servers that serve each other have a session in each direction. Nothing goes
//! in circles: only a server's own clients are announced, and a dial that a peer asks for ends at
//! one of them.

mod book;
mod discovery;
mod error;
mod incoming;
mod info;
mod link;
mod peer;
mod registered;
mod relay;
mod serve;

use std::sync::Arc;

use tokio::sync::watch;
use tracing::info;

use super::{Inner, Server};
use crate::agent::AgentStatus;

pub(super) use book::{Claim, PeerBook};
pub use discovery::PeerDiscovery;
pub use error::PeerError;
pub(super) use incoming::PeerAdmission;
pub use info::{IncomingPeerInfo, PeerDirection, PeerInfo};
pub use peer::{Peer, PeerIdentity};

use book::Known;

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
    /// that fails changes nothing.
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

    /// The ids of the peers that announced this client, which are tried in this order where it is
    /// not connected here.
    #[must_use]
    pub fn peers_of(&self, key: &str) -> Vec<String> {
        self.inner.sessions().peers_of(key)
    }
}

impl Inner {
    /// `found_by` is the search that found the peer, if it was one: it leaves those alone that it
    /// did not find.
    fn add_peer(self: &Arc<Self>, peer: Peer, found_by: Option<u64>) -> Result<(), PeerError> {
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(PeerError::ShuttingDown);
        }
        sessions.book().check(&peer)?;
        let identity = sessions.book().identity().ok_or(PeerError::NoIdentity)?;
        if let Some(known) = sessions.book().get(&peer.id) {
            let same = known.peer.is(&peer);
            if found_by.is_none() && same {
                sessions.book_mut().claim_by_id(&peer.id);
                return Ok(());
            }
            if same || (found_by.is_some() && known.found_by != found_by) {
                return Ok(());
            }
        }
        let ousted = sessions.oust(&peer.id);
        let (status, standing) = watch::channel(AgentStatus::Connecting);
        let number = sessions.book_mut().number();
        let (stop, hurry) = (self.stop.child_token(), Arc::default());
        sessions.book_mut().insert(Known {
            peer: peer.clone(),
            number,
            found_by,
            stop: stop.clone(),
            hurry: Arc::clone(&hurry),
            status: standing,
        });
        drop(sessions);
        if let Some(ousted) = ousted {
            ousted.end("this peer is to be reached in another way");
        }
        info!(id = peer.id, endpoint = %peer.endpoint, "peer added");
        link::start(self, &identity, &peer, number, link::Reins { stop, hurry, status });
        Ok(())
    }

    fn remove_peer(&self, id: &str, found_by: Option<u64>) -> bool {
        let ousted = self.sessions().oust_found_by(id, found_by);
        let Some(ousted) = ousted else { return false };
        info!(id, "peer removed");
        ousted.end("this server is no peer any more");
        true
    }
}
