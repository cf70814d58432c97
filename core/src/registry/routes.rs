//! Routes: clients that are reachable through peer servers.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::limits::{Counter, RegistryError, RegistryLimits, Tally};
use super::peer_target::{NotEncodable, check_key, peer_target};
use super::sessions::SessionKey;
use crate::wire::{Body, ClientRoute, Dialect, base};

/// The announcements of peers, by client and by peer.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_client: BTreeMap<String, BTreeMap<SessionKey, Rank>>,
    by_peer: BTreeMap<SessionKey, OfPeer>,
    last: u64,
    counter: Counter,
}

/// A peer that announced a client.
#[derive(Debug)]
struct Rank {
    /// The order of the peers' first announcements. It stays for as long as another peer announces
    /// the client: a peer that has lost its client for a moment has the same rank as before.
    since: u64,
    /// Sessions of the client that it announces now.
    routes: usize,
}

#[derive(Debug, Default)]
struct OfPeer {
    routes: BTreeSet<ClientRoute>,
    /// Clients that it announced before, and others announce still.
    former: BTreeSet<String>,
}

impl Routes {
    /// Adds a route, if it is not there.
    ///
    /// Without capacity, it replaces another route of this peer to the same client: a client that
    /// came back is announced with its new session first, and the old route is taken back then,
    /// which would leave none.
    pub(super) fn add(
        &mut self,
        peer: SessionKey,
        route: ClientRoute,
        limits: &RegistryLimits,
    ) -> Result<(), RegistryError> {
        if self.by_peer.get(&peer).is_some_and(|of_peer| of_peer.routes.contains(&route)) {
            return Ok(());
        }
        let replaced = self.check_capacity_for(peer, &route.client_key, limits)?;
        self.link(peer, route);
        if let Some(replaced) = replaced {
            self.remove(peer, &replaced);
        }
        Ok(())
    }

    /// Removes exactly this route, if it is there.
    pub(super) fn remove(&mut self, peer: SessionKey, route: &ClientRoute) {
        let of_peer = self.by_peer.get_mut(&peer);
        if of_peer.is_some_and(|of_peer| of_peer.routes.remove(route)) {
            self.unlink(peer, &route.client_key);
            self.forget_peer_of_nothing(peer);
        }
    }

    /// Removes every route of a peer.
    pub(super) fn remove_peer(&mut self, peer: SessionKey) {
        let of_peer = self.by_peer.remove(&peer).unwrap_or_default();
        for route in of_peer.routes {
            self.unlink(peer, &route.client_key);
            self.drop_rank(peer, &route.client_key);
        }
        for client_key in of_peer.former {
            self.drop_rank(peer, &client_key);
        }
        self.by_peer.remove(&peer);
    }

    /// Removes every route of a peer to one client, and its rank with them: it does not have the
    /// client.
    pub(super) fn forget(&mut self, peer: SessionKey, client_key: &str) {
        let stale: Vec<_> = self.to_client(peer, client_key).cloned().collect();
        for route in stale {
            self.remove(peer, &route);
        }
        if let Some(of_peer) = self.by_peer.get_mut(&peer)
            && of_peer.former.remove(client_key)
        {
            self.drop_rank(peer, client_key);
            self.forget_peer_of_nothing(peer);
        }
    }

    /// The peers that announce a client, the one that did so first in front.
    pub(super) fn peers(&self, client_key: &str) -> Vec<SessionKey> {
        let ranks = self.by_client.get(client_key).into_iter().flatten();
        let mut live: Vec<_> = ranks.filter(|(_, rank)| rank.routes > 0).collect();
        live.sort_by_key(|(_, rank)| rank.since);
        live.into_iter().map(|(peer, _)| *peer).collect()
    }

    pub(super) fn tally(&self) -> Tally {
        self.counter.tally(self.live())
    }

    /// How many routes a peer has.
    pub(super) fn of_peer(&self, peer: SessionKey) -> usize {
        self.by_peer.get(&peer).map_or(0, |of_peer| of_peer.routes.len())
    }

    fn live(&self) -> usize {
        self.by_peer.values().map(|of_peer| of_peer.routes.len()).sum()
    }

    /// A peer's routes to one client, in the order of their session keys.
    fn to_client(&self, peer: SessionKey, client_key: &str) -> impl Iterator<Item = &ClientRoute> {
        let any = |session_key| ClientRoute { client_key: client_key.into(), session_key };
        let of_client = any(i64::MIN)..=any(i64::MAX);
        let of_peer = self.by_peer.get(&peer).into_iter();
        of_peer.flat_map(move |of_peer| of_peer.routes.range(of_client.clone()))
    }

    /// Whether there is capacity for one route more of a peer to a client, and the route that it
    /// replaces.
    fn check_capacity_for(
        &self,
        peer: SessionKey,
        client_key: &str,
        limits: &RegistryLimits,
    ) -> Result<Option<ClientRoute>, RegistryError> {
        let Err(full) = self.check_capacity(peer, limits) else { return Ok(None) };
        // Whichever it is: they all lead to the client through the peer, and the first one is found
        // at once, however many there are.
        self.to_client(peer, client_key).next().cloned().map(Some).ok_or(full)
    }

    fn check_capacity(
        &self,
        peer: SessionKey,
        limits: &RegistryLimits,
    ) -> Result<(), RegistryError> {
        if self.of_peer(peer) >= limits.routes_per_peer {
            return Err(RegistryError::TooManyRoutesOfPeer { limit: limits.routes_per_peer });
        }
        if self.live() >= limits.routes {
            return Err(RegistryError::TooManyRoutes { limit: limits.routes });
        }
        Ok(())
    }

    fn link(&mut self, peer: SessionKey, route: ClientRoute) {
        self.counter.add();
        let ranks = self.by_client.entry(route.client_key.clone()).or_default();
        let rank = ranks.entry(peer).or_insert_with(|| {
            self.last += 1;
            Rank { since: self.last, routes: 0 }
        });
        rank.routes += 1;
        let of_peer = self.by_peer.entry(peer).or_default();
        of_peer.former.remove(&route.client_key);
        let is_new = of_peer.routes.insert(route);
        debug_assert!(is_new, "a route of {peer} is linked twice");
    }

    /// A peer has one route less to a client.
    fn unlink(&mut self, peer: SessionKey, client_key: &str) {
        self.counter.remove();
        let Some(ranks) = self.by_client.get_mut(client_key) else { return };
        let Some(rank) = ranks.get_mut(&peer) else { return };
        debug_assert!(rank.routes > 0, "{peer} has no route to {client_key}");
        rank.routes -= 1;
        if rank.routes == 0 {
            let of_peer = self.by_peer.entry(peer).or_default();
            of_peer.former.insert(client_key.into());
        }
        self.forget_client_of_nobody(client_key);
    }

    /// A peer that is gone has no rank among those of a client.
    fn drop_rank(&mut self, peer: SessionKey, client_key: &str) {
        if let Some(ranks) = self.by_client.get_mut(client_key) {
            ranks.remove(&peer);
        }
        self.forget_client_of_nobody(client_key);
    }

    /// Ranks are kept for as long as a peer announces the client.
    fn forget_client_of_nobody(&mut self, client_key: &str) {
        let Some(ranks) = self.by_client.get(client_key) else { return };
        if ranks.values().any(|rank| rank.routes > 0) {
            return;
        }
        for peer in self.by_client.remove(client_key).unwrap_or_default().into_keys() {
            if let Some(of_peer) = self.by_peer.get_mut(&peer) {
                of_peer.former.remove(client_key);
            }
            self.forget_peer_of_nothing(peer);
        }
    }

    fn forget_peer_of_nothing(&mut self, peer: SessionKey) {
        let of_peer = self.by_peer.get(&peer);
        if of_peer.is_some_and(|it| it.routes.is_empty() && it.former.is_empty()) {
            self.by_peer.remove(&peer);
        }
    }
}

/// A session through which a client can be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// The client's own.
    Local(SessionKey),
    /// That of a peer server which announced the client.
    Peer {
        /// The peer's session.
        session: SessionKey,
        /// The peer's dialect.
        dialect: Dialect,
    },
}

impl Candidate {
    /// The session to open the connection in.
    #[must_use]
    pub const fn session(self) -> SessionKey {
        match self {
            Self::Local(session) | Self::Peer { session, .. } => session,
        }
    }

    /// The target to dial in the session: the target itself, or through a peer [`peer_target`].
    ///
    /// # Errors
    ///
    /// The peer's dialect cannot express the client's key.
    pub fn target<'a>(
        self,
        client_key: &str,
        target: &'a str,
    ) -> Result<Cow<'a, str>, NotEncodable> {
        match self {
            Self::Local(_) => Ok(Cow::Borrowed(target)),
            Self::Peer { dialect, .. } => peer_target(dialect, client_key, target).map(Cow::Owned),
        }
    }
}

/// A message for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The peer's session.
    pub peer: SessionKey,
    /// The change.
    pub change: RouteChange,
}

/// A client came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteChange {
    /// The client is reachable here.
    Added(ClientRoute),
    /// That session of the client is over.
    Removed(ClientRoute),
}

impl RouteChange {
    /// Whether a peer of this dialect understands the route, and could dial it.
    ///
    /// # Errors
    ///
    /// It would take it for another one.
    pub fn check(&self, dialect: Dialect) -> Result<(), NotEncodable> {
        let (Self::Added(route) | Self::Removed(route)) = self;
        check_route(dialect, route)
    }
}

/// Whether a peer of this dialect takes the route for what it is.
pub(crate) fn check_route(dialect: Dialect, route: &ClientRoute) -> Result<(), NotEncodable> {
    check_key(dialect, &route.client_key)?;
    let length = encoded_len(route);
    if dialect == Dialect::Base && length > base::MAX_ROUTE {
        return Err(NotEncodable::RouteTooLong { length, limit: base::MAX_ROUTE });
    }
    Ok(())
}

impl From<RouteChange> for Body {
    fn from(change: RouteChange) -> Self {
        match change {
            RouteChange::Added(route) => Self::AddClient(route),
            RouteChange::Removed(route) => Self::RemoveClient(route),
        }
    }
}

/// The bytes of `clientKey/sessionKey`.
fn encoded_len(route: &ClientRoute) -> usize {
    let digits = route.session_key.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    let sign = usize::from(route.session_key < 0);
    route.client_key.len() + 1 + sign + digits
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

    #[test]
    fn a_peer_that_lost_its_client_for_a_moment_has_its_place_again() {
        let (mut routes, [first, second]) = filled();
        assert_eq!(routes.peers("a"), [first, second]);
        routes.remove(first, &route("a", 1));
        assert_eq!(routes.peers("a"), [second]);
        routes.add(first, route("a", 9), &RegistryLimits::default()).unwrap();
        assert_eq!(routes.peers("a"), [first, second]);
        // Not where nobody has announced it meanwhile.
        routes.forget(first, "a");
        routes.forget(second, "a");
        routes.add(second, route("a", 3), &RegistryLimits::default()).unwrap();
        routes.add(first, route("a", 9), &RegistryLimits::default()).unwrap();
        assert_eq!(routes.peers("a"), [second, first]);
        for peer in [first, second] {
            routes.remove_peer(peer);
        }
        assert!(routes.by_client.is_empty() && routes.by_peer.is_empty(), "{routes:?}");
    }

    #[test]
    fn a_place_goes_with_its_peer() {
        let (mut routes, [first, second]) = filled();
        routes.remove(first, &route("a", 1));
        routes.remove_peer(first);
        assert_eq!(routes.by_client["a"].len(), 1);
        routes.remove_peer(second);
        assert_nothing_left(&routes);
    }

    #[test]
    fn a_route_is_as_long_as_it_is_written() {
        for session_key in [0, 1, 9, 10, 99, 100, -1, -9, -10, i64::MAX, i64::MIN] {
            let route = ClientRoute { client_key: "key".into(), session_key };
            assert_eq!(
                encoded_len(&route),
                alloc::format!("key/{session_key}").len(),
                "{session_key}"
            );
        }
    }
}
