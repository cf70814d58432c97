//! Routes to clients that peers announce, and the announcements to them.

use tokio::time::Instant;
use tracing::{debug, warn};
use watertight_core::registry::{Candidate, RegistryError, RouteChange, SessionKey};
use watertight_core::wire::ClientRoute;

use crate::log_limit::{Limits, shortened, some};
use crate::metrics::peer_routes;
use crate::server::Inner;
use crate::server::sessions::Sessions;
use crate::session::Shared;

impl Sessions {
    /// Announces to a peer at most `most` clients that come after `after` in the order of their
    /// keys. Returns the last of them if there may be more.
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

    /// Adds a route, if it is to a client. remotedialer announces its peers as clients: two of its
    /// servers would pass a dial of such a client to each other without end.
    pub(super) fn peer_added_client(
        &mut self,
        peer: SessionKey,
        route: ClientRoute,
    ) -> Result<(), RegistryError> {
        if self.peer_table.is_server(&route.client_key) {
            debug!(id = route.client_key, "a peer announces a server as its client");
            return Ok(());
        }
        let client = route.client_key.clone();
        let added = self.registry.peer_added_client(peer, route);
        self.observe_routes();
        if self.registry.lookup(&client).filter(is_peer).nth(1).is_some() {
            self.route_conflicts.begin(&client, Instant::now());
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

    pub(in crate::server) fn forget_stale(&mut self, peer: SessionKey, client: &str) {
        self.registry.forget_stale(peer, client);
        self.observe_routes();
    }

    /// Updates the metrics.
    pub(in crate::server) fn observe_routes(&mut self) {
        let now = self.registry.ledger().routes.live;
        peer_routes(std::mem::replace(&mut self.routes, now), now);
    }

    /// The peers through which a client can be dialled, the best one first.
    pub(super) fn peers_of(&self, client: &str) -> Vec<String> {
        let peers = self.candidates(client).filter(is_peer);
        peers
            .filter_map(|candidate| Some(self.registry.get(candidate.session())?.name.clone()))
            .collect()
    }

    fn due_conflict(&mut self) -> Option<(String, Vec<String>)> {
        let mut route_conflicts = std::mem::take(&mut self.route_conflicts);
        let due = route_conflicts.due(Instant::now(), |client| self.peers_of(client));
        self.route_conflicts = route_conflicts;
        due
    }
}

fn is_peer(candidate: &Candidate) -> bool {
    matches!(candidate, Candidate::Peer { .. })
}

impl Inner {
    /// A peer has announced a client. A refused announcement has no other effect.
    pub(in crate::server) fn route_added(
        &self,
        peer: SessionKey,
        route: ClientRoute,
        limits: &Limits,
    ) {
        let client = route.client_key.clone();
        let result = self.sessions().peer_added_client(peer, route);
        log_route(&client, result, limits);
        self.warn_of_route_conflict();
    }

    /// A peer has withdrawn a client.
    pub(in crate::server) fn route_removed(
        &self,
        peer: SessionKey,
        route: &ClientRoute,
        limits: &Limits,
    ) {
        let result = self.sessions().peer_removed_client(peer, route);
        log_route(&route.client_key, result, limits);
    }

    /// Warns of a client that more than one peer announces. Called on each event that may reveal
    /// it.
    pub(in crate::server) fn warn_of_route_conflict(&self) {
        let due = self.sessions().due_conflict();
        let Some((client, peers)) = due else { return };
        if let Some(left_out) = self.takeovers.pass().map(some) {
            let (client, first) = (&*shortened(&client), peers.first());
            warn!(
                client,
                ?peers,
                first,
                left_out,
                "more than one peer says that it has this client, for more than a minute: the first of \
                 them is dialled; if the client is not connected to another one, do not trust that one"
            );
        }
    }
}

/// Limited: a peer may announce invalid routes without end. A session that was replaced may still
/// announce.
fn log_route(client: &str, result: Result<(), RegistryError>, limits: &Limits) {
    let error = match result {
        Ok(()) | Err(RegistryError::NotRegistered) => return,
        Err(error) => error,
    };
    let client = &*shortened(client);
    match limits.dials.pass().map(some) {
        Some(left_out) => warn!(client, %error, left_out, "a peer's route is refused"),
        None => debug!(client, %error, "a peer's route is refused"),
    }
}

#[cfg(test)]
mod tests {
    use watertight_core::wire::Dialect;

    use super::*;
    use crate::server::peering::route_conflicts::LONG;

    /// Each line of a log.
    struct Lines(std::sync::mpsc::Sender<String>);

    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.send(String::from_utf8_lossy(line).into_owned()).ok();
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_names_peers_that_announce_one_client_for_long() {
        let (sender, lines) = std::sync::mpsc::channel();
        let log = tracing_subscriber::fmt().with_ansi(false);
        let log = log.with_writer(move || Lines(sender.clone())).finish();
        let _logging = tracing::subscriber::set_default(log);
        let server = crate::Server::builder(|_| async { Ok(String::new()) }).build();
        for (peer, session_key) in [("b", 1), ("c", 2)] {
            let mut sessions = server.inner.sessions();
            let session =
                sessions.registry.insert_incoming_peer(peer, Dialect::Base).unwrap().session;
            let route = ClientRoute { client_key: "edge".to_string(), session_key };
            sessions.peer_added_client(session, route).unwrap();
        }
        server.inner.warn_of_route_conflict();
        assert_eq!(lines.try_iter().count(), 0);
        tokio::time::advance(LONG).await;
        server.inner.warn_of_route_conflict();
        let said: Vec<_> = lines.try_iter().collect();
        assert_eq!(said.len(), 1, "{said:?}");
        for part in ["WARN", "client=\"edge\"", "peers=[\"b\", \"c\"]", "first=\"b\""] {
            assert!(said[0].contains(part), "{part}: {said:?}");
        }
    }
}
