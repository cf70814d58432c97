//! Adding and removing peers, and their status.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;
use watertight_core::registry::{SessionKey, SessionKind};
use watertight_core::wire::GoAwayCode;

use super::link;
use super::peer::{IncomingPeerInfo, Peer, PeerError, PeerInfo};
use super::table::{Known, PeerTable};
use crate::connect::{AgentStatus, LinkControl};
use crate::metrics::PeerMeter;
use crate::server::Inner;
use crate::server::sessions::{Running, Sessions};
use crate::session::Shared;

/// The rest of a removed peer, to be ended outside the table's lock.
pub(super) struct RemovedPeer {
    stop: CancellationToken,
    sessions: Vec<Arc<Shared>>,
}

impl RemovedPeer {
    /// Closes its sessions in both directions, and stops connecting.
    pub(super) fn end(self, text: &str) {
        self.stop.cancel();
        for session in self.sessions {
            session.command(|core, now| {
                core.close(now, GoAwayCode::SHUTDOWN, text);
            });
        }
    }
}

impl Sessions {
    pub(in crate::server) fn peer_table(&self) -> &PeerTable {
        &self.peer_table
    }

    pub(super) fn peer_table_mut(&mut self) -> &mut PeerTable {
        &mut self.peer_table
    }

    /// Removes a peer: it cannot connect any more, and its routes are removed.
    pub(super) fn remove_peer(&mut self, id: &str) -> Option<RemovedPeer> {
        let Known { stop, .. } = self.peer_table.remove(id)?;
        self.registry.remove_peer(id).for_each(drop);
        let incoming = self.registry.peer(SessionKind::IncomingPeer, id);
        debug_assert!(incoming.is_none(), "a removed peer is not registered");
        self.observe_routes();
        // Draining ones included.
        let is_its =
            |running: &&Running| running.kind != SessionKind::Agent && running.grant.key == id;
        let running = self.running.values().filter(is_its);
        let sessions = running.map(|running| Arc::clone(&running.shared)).collect();
        Some(RemovedPeer { stop, sessions })
    }

    /// The same, except that a discovery removes only peers that it found.
    pub(super) fn remove_peer_found_by(
        &mut self,
        id: &str,
        search: Option<u64>,
    ) -> Option<RemovedPeer> {
        let known = self.peer_table.get(id)?;
        if search.is_some() && known.found_by != search {
            return None;
        }
        self.remove_peer(id)
    }

    pub(super) fn peers(&self) -> Vec<PeerInfo> {
        self.peer_table.iter().map(|known| self.peer_info(known)).collect()
    }

    fn peer_info(&self, known: &Known) -> PeerInfo {
        let peer = &known.peer;
        let incoming = self.registry.peer(SessionKind::IncomingPeer, &peer.id);
        let running = incoming.and_then(|session| Some((session, self.running.get(&session)?)));
        PeerInfo {
            id: peer.id.clone(),
            endpoint: peer.connect.endpoint.clone(),
            address: peer.connect.options.address,
            outgoing: known.status.borrow().clone(),
            incoming: running.map(|(session, running)| running.peer_info(session)),
            routes: incoming.map_or(0, |session| self.registry.routes_of(session)),
        }
    }
}

impl Running {
    fn peer_info(&self, session: SessionKey) -> IncomingPeerInfo {
        let state = self.shared.lock();
        IncomingPeerInfo {
            session,
            connected_for: self.since.elapsed(),
            remote: self.remote,
            dialect: self.dialect,
            rtt: state.core.rtt(),
            going_away: state.core.is_going_away(),
        }
    }
}

impl Inner {
    /// Adds a peer, and connects to it. `found_by` is the discovery that found it, if any: a
    /// discovery does not change peers that it did not find.
    pub(super) fn add_peer(
        self: &Arc<Self>,
        peer: Peer,
        found_by: Option<u64>,
    ) -> Result<(), PeerError> {
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(PeerError::ShuttingDown);
        }
        sessions.peer_table().check(&peer)?;
        let identity = sessions.peer_table().identity().ok_or(PeerError::NoIdentity)?;
        if let Some(known) = sessions.peer_table().get(&peer.id) {
            let same = known.peer.is(&peer);
            if found_by.is_none() && same {
                sessions.peer_table_mut().clear_found_by(&peer.id);
                return Ok(());
            }
            if same || (found_by.is_some() && known.found_by != found_by) {
                return Ok(());
            }
        }
        let removed = sessions.remove_peer(&peer.id);
        let (status, receiver) = watch::channel(AgentStatus::Connecting);
        let number = sessions.peer_table_mut().number();
        let (stop, retry_now) = (self.stop.child_token(), Arc::default());
        sessions.peer_table_mut().insert(Known {
            peer: peer.clone(),
            number,
            found_by,
            stop: stop.clone(),
            retry_now: Arc::clone(&retry_now),
            status: receiver,
        });
        drop(sessions);
        if let Some(removed) = removed {
            removed.end("this peer is to be reached in another way");
        }
        info!(id = peer.id, endpoint = %peer.connect.endpoint, "peer added");
        let searched_for = found_by.map(|_| peer.connect.endpoint.to_string());
        let meter = PeerMeter::new(searched_for.unwrap_or_else(|| peer.id.clone()));
        let control = LinkControl { stop, retry_now, status };
        link::start(self, &identity, &peer, number, meter, control);
        Ok(())
    }

    /// Removes a peer. A discovery removes only peers that it found.
    pub(super) fn remove_peer(&self, id: &str, found_by: Option<u64>) -> bool {
        let removed = self.sessions().remove_peer_found_by(id, found_by);
        let Some(removed) = removed else { return false };
        info!(id, "peer removed");
        removed.end("this server is no peer any more");
        true
    }
}
