use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::ledger::{Counter, Tally};
use super::{RegistryError, RegistryLimits, SessionKey};
use crate::wire::ClientRoute;

/// What peers announced, found by client and by peer.
///
/// A number that grows with each announcement tells which one is newer.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_client: BTreeMap<String, BTreeMap<u64, SessionKey>>,
    by_peer: BTreeMap<SessionKey, BTreeMap<ClientRoute, u64>>,
    last: u64,
    counter: Counter,
}

impl Routes {
    /// Adds a route, or makes one that is there the newest.
    ///
    /// Where there is no room, it takes the place of another route of this peer to the same client:
    /// one whose client came back is announced with its new session first, and the old route is
    /// taken back then, which would leave none.
    pub(super) fn add(
        &mut self,
        peer: SessionKey,
        route: ClientRoute,
        limits: &RegistryLimits,
    ) -> Result<(), RegistryError> {
        match self.number(peer, &route) {
            Some(older) => self.unlink(&route.client_key, older),
            None => {
                self.make_room(peer, &route.client_key, limits)?;
                self.counter.add();
            }
        }
        self.link(peer, route);
        Ok(())
    }

    /// Removes exactly this route, if it is there.
    pub(super) fn remove(&mut self, peer: SessionKey, route: &ClientRoute) {
        let Some(of_peer) = self.by_peer.get_mut(&peer) else {
            return;
        };
        let number = of_peer.remove(route);
        if of_peer.is_empty() {
            self.by_peer.remove(&peer);
        }
        if let Some(number) = number {
            self.counter.remove();
            self.unlink(&route.client_key, number);
        }
    }

    /// Removes every route of a peer.
    pub(super) fn remove_peer(&mut self, peer: SessionKey) {
        for (route, number) in self.by_peer.remove(&peer).unwrap_or_default() {
            self.counter.remove();
            self.unlink(&route.client_key, number);
        }
    }

    /// Removes every route of a peer to one client.
    pub(super) fn forget(&mut self, peer: SessionKey, client_key: &str) {
        let stale: Vec<_> = self.to_client(peer, client_key).cloned().collect();
        for route in stale {
            self.remove(peer, &route);
        }
    }

    /// The peers that announced a client, each once, the latest announcement first.
    pub(super) fn peers(&self, client_key: &str) -> Vec<SessionKey> {
        let mut peers = Vec::new();
        let routes = self.by_client.get(client_key).into_iter();
        for &peer in routes.flat_map(|routes| routes.values().rev()) {
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        peers
    }

    pub(super) fn tally(&self) -> Tally {
        self.counter.tally(self.live())
    }

    /// How many routes a peer has.
    pub(super) fn of_peer(&self, peer: SessionKey) -> usize {
        self.by_peer.get(&peer).map_or(0, BTreeMap::len)
    }

    fn live(&self) -> usize {
        self.by_peer.values().map(BTreeMap::len).sum()
    }

    fn number(&self, peer: SessionKey, route: &ClientRoute) -> Option<u64> {
        self.by_peer.get(&peer)?.get(route).copied()
    }

    /// A peer's routes to one client, in the order of their session keys.
    fn to_client(&self, peer: SessionKey, client_key: &str) -> impl Iterator<Item = &ClientRoute> {
        let any = |session_key| ClientRoute { client_key: client_key.into(), session_key };
        let of_client = any(i64::MIN)..=any(i64::MAX);
        let of_peer = self.by_peer.get(&peer).into_iter();
        of_peer.flat_map(move |routes| routes.range(of_client.clone())).map(|(route, _)| route)
    }

    fn make_room(
        &mut self,
        peer: SessionKey,
        client_key: &str,
        limits: &RegistryLimits,
    ) -> Result<(), RegistryError> {
        let Err(full) = self.check_room(peer, limits) else { return Ok(()) };
        // Whichever it is: they all lead to the client through the peer, and the first one is found
        // at once, however many there are.
        let other = self.to_client(peer, client_key).next().cloned().ok_or(full)?;
        self.remove(peer, &other);
        Ok(())
    }

    fn check_room(&self, peer: SessionKey, limits: &RegistryLimits) -> Result<(), RegistryError> {
        if self.of_peer(peer) >= limits.routes_per_peer {
            return Err(RegistryError::TooManyRoutesOfPeer { limit: limits.routes_per_peer });
        }
        if self.live() >= limits.routes {
            return Err(RegistryError::TooManyRoutes { limit: limits.routes });
        }
        Ok(())
    }

    fn link(&mut self, peer: SessionKey, route: ClientRoute) {
        self.last += 1;
        let of_client = self.by_client.entry(route.client_key.clone()).or_default();
        of_client.insert(self.last, peer);
        self.by_peer.entry(peer).or_default().insert(route, self.last);
    }

    fn unlink(&mut self, client_key: &str, number: u64) {
        let Some(of_client) = self.by_client.get_mut(client_key) else {
            return;
        };
        of_client.remove(&number);
        if of_client.is_empty() {
            self.by_client.remove(client_key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(client_key: &str, session_key: i64) -> ClientRoute {
        ClientRoute { client_key: client_key.into(), session_key }
    }

    /// Two peers with three routes to two clients.
    fn filled() -> (Routes, [SessionKey; 2]) {
        let mut routes = Routes::default();
        let first = SessionKey::default().next();
        let peers = [first, first.next()];
        let all = [(0, route("a", 1)), (0, route("b", 1)), (1, route("a", 2))];
        for (peer, route) in all {
            routes.add(peers[peer], route, &RegistryLimits::default()).unwrap();
        }
        (routes, peers)
    }

    fn assert_nothing_left(routes: &Routes) {
        assert!(routes.by_client.is_empty(), "{routes:?}");
        assert!(routes.by_peer.is_empty(), "{routes:?}");
        assert_eq!(routes.tally(), Tally { added: 3, removed: 3, live: 0 });
    }

    #[test]
    fn peers_that_end_leave_nothing_behind() {
        let (mut routes, peers) = filled();
        peers.iter().for_each(|peer| routes.remove_peer(*peer));
        assert_nothing_left(&routes);
    }

    #[test]
    fn routes_that_are_taken_back_leave_nothing_behind() {
        let (mut routes, [first, second]) = filled();
        routes.remove(first, &route("a", 1));
        routes.remove(first, &route("b", 1));
        routes.remove(second, &route("a", 2));
        routes.remove(second, &route("a", 2));
        assert_nothing_left(&routes);
    }

    #[test]
    fn routes_that_are_forgotten_leave_nothing_behind() {
        let (mut routes, peers) = filled();
        for peer in peers {
            routes.forget(peer, "a");
            routes.forget(peer, "b");
        }
        assert_nothing_left(&routes);
    }
}
