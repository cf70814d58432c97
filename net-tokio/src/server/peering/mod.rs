//! Servers that dial through each other.
//!
//! A server connects to each of its peers, and announces its clients in that session; the peer dials
//! them through it. Two servers that serve each other have a session in each direction. Nothing goes
//! in circles: only a server's own clients are announced, and a dial that a peer asks for ends at
//! one of them.

mod book;
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
        self.inner.add_peer(peer)
    }

    /// Ends the peer with this id: it is not connected to any more and no longer authorised, the
    /// clients that it announced are not found there any more, and its sessions in both directions
    /// are closed now, with all their connections. `false` if there is none.
    pub fn remove_peer(&self, id: &str) -> bool {
        self.inner.remove_peer(id)
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
    fn add_peer(self: &Arc<Self>, peer: Peer) -> Result<(), PeerError> {
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(PeerError::ShuttingDown);
        }
        sessions.book().check(&peer)?;
        let identity = sessions.book().identity().ok_or(PeerError::NoIdentity)?;
        if sessions.book().get(&peer.id).is_some_and(|known| known.peer.is(&peer)) {
            return Ok(());
        }
        let ousted = sessions.oust(&peer.id);
        let (status, standing) = watch::channel(AgentStatus::Connecting);
        let (number, stop) = (sessions.book_mut().number(), self.stop.child_token());
        sessions.book_mut().insert(Known {
            peer: peer.clone(),
            number,
            stop: stop.clone(),
            status: standing,
        });
        drop(sessions);
        if let Some(ousted) = ousted {
            ousted.end("this peer is to be reached in another way");
        }
        info!(id = peer.id, endpoint = %peer.endpoint, "peer added");
        link::start(self, &identity, &peer, number, stop, status);
        Ok(())
    }

    fn remove_peer(&self, id: &str) -> bool {
        let ousted = self.sessions().oust(id);
        let Some(ousted) = ousted else { return false };
        info!(id, "peer removed");
        ousted.end("this server is no peer any more");
        true
    }
}
