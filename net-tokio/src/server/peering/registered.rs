//! What the server's books say of peers.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watertight_core::registry::{Candidate, RegistryError, RouteChange, SessionKey, SessionKind};
use watertight_core::wire::ClientRoute;

use super::book::{Known, PeerBook};
use super::{IncomingPeerInfo, PeerInfo};
use crate::metrics::peer_routes;
use crate::server::sessions::{Running, Sessions};
use crate::session::Shared;

/// What is left of a peer that is none any more, to be ended while the books are free.
pub(super) struct RemovedPeer {
    stop: CancellationToken,
    sessions: Vec<Arc<Shared>>,
}

impl RemovedPeer {
    /// Closes its sessions in both directions, and connects no more.
    pub(super) fn end(self, text: &str) {
        self.stop.cancel();
        for session in self.sessions {
            session.command(|core, now| {
                core.close(now, watertight_core::wire::GoAwayCode::SHUTDOWN, text);
            });
        }
    }
}

impl Sessions {
    pub(in crate::server) fn book(&self) -> &PeerBook {
        &self.book
    }

    pub(super) fn book_mut(&mut self) -> &mut PeerBook {
        &mut self.book
    }

    /// The peer is none any more, from now on: it cannot connect, and its routes are gone.
    pub(super) fn remove_peer(&mut self, id: &str) -> Option<RemovedPeer> {
        let Known { stop, .. } = self.book.remove(id)?;
        self.registry.remove_peer(id).for_each(drop);
        self.observe_routes();
        // Those that drain, too.
        let is_its =
            |running: &&Running| running.kind != SessionKind::Agent && running.grant.key == id;
        let running = self.running.values().filter(is_its);
        let sessions = running.map(|running| Arc::clone(&running.shared)).collect();
        Some(RemovedPeer { stop, sessions })
    }

    /// The same, unless the peer is to be one that this search found, and is not.
    pub(super) fn remove_peer_found_by(
        &mut self,
        id: &str,
        search: Option<u64>,
    ) -> Option<RemovedPeer> {
        let known = self.book.get(id)?;
        if search.is_some() && known.found_by != search {
            return None;
        }
        self.remove_peer(id)
    }

    /// Announces to a peer at most so many clients after this one; the last of them if there may be
    /// more.
    pub(super) fn announce_some(
        &self,
        peer: SessionKey,
        shared: &Shared,
        after: Option<&str>,
        most: usize,
    ) -> Option<String> {
        let (mut count, mut last) = (0, None);
        for change in self.registry.announcements(peer, after).take(most) {
            count += 1;
            let (RouteChange::Added(route) | RouteChange::Removed(route)) = &change;
            last = Some(route.client_key.clone());
            shared.announce(change);
        }
        last.filter(|_| count == most)
    }

    /// Remembers a route, if it is one to a client. Servers of remotedialer would pass a dial of one of
    /// them on to each other for ever.
    pub(super) fn peer_added_client(
        &mut self,
        peer: SessionKey,
        route: ClientRoute,
    ) -> Result<(), RegistryError> {
        if self.book.is_server(&route.client_key) {
            debug!(id = route.client_key, "a peer announces a server as its client");
            return Ok(());
        }
        let client = route.client_key.clone();
        let added = self.registry.peer_added_client(peer, route);
        self.observe_routes();
        if self.registry.lookup(&client).filter(is_peer).nth(1).is_some() {
            self.contests.begin(&client, Instant::now());
        }
        added
    }

    pub(super) fn peer_removed_client(
        &mut self,
        peer: SessionKey,
        route: &ClientRoute,
    ) -> Result<(), RegistryError> {
        let removed = self.registry.peer_removed_client(peer, route);
        self.observe_routes();
        removed
    }

    pub(super) fn forget_stale(&mut self, peer: SessionKey, client: &str) {
        self.registry.forget_stale(peer, client);
        self.observe_routes();
    }

    /// Brings the metrics up to date.
    pub(in crate::server) fn observe_routes(&mut self) {
        let now = self.registry.ledger().routes.live;
        peer_routes(std::mem::replace(&mut self.routes, now), now);
    }

    pub(super) fn peers(&self) -> Vec<PeerInfo> {
        self.book.iter().map(|known| self.peer_info(known)).collect()
    }

    fn peer_info(&self, known: &Known) -> PeerInfo {
        let peer = &known.peer;
        let incoming = self.registry.peer(SessionKind::IncomingPeer, &peer.id);
        let running = incoming.and_then(|session| Some((session, self.running.get(&session)?)));
        PeerInfo {
            id: peer.id.clone(),
            endpoint: peer.endpoint.clone(),
            address: peer.address,
            outgoing: known.status.borrow().clone(),
            incoming: running.map(|(session, running)| running.peer_info(session)),
            routes: incoming.map_or(0, |session| self.registry.routes_of(session)),
        }
    }

    /// The peers through which a client can be dialled, the best one first.
    pub(super) fn peers_of(&self, client: &str) -> Vec<String> {
        let peers = self.candidates(client).filter(is_peer);
        peers.filter_map(|way| Some(self.registry.get(way.session())?.name.clone())).collect()
    }
}

/// Whether it leads through a peer.
fn is_peer(way: &Candidate) -> bool {
    matches!(way, Candidate::Peer { .. })
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
