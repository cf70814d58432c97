//! Which client is reachable through which session, here or at a peer server.
//!
//! Three kinds of sessions are registered. An **agent** is a client of this server. An **incoming
//! peer** is a server that connected to this one; it announces its own clients, which are dialled
//! through it. An **outgoing peer** is a server that this one connected to; the agents here are
//! announced to it, and it dials them through that session. Two servers that serve each other
//! have both.
//!
//! Nothing goes in circles: only agents are announced, never what a peer announced, and a dial
//! that a peer asks for ends at an agent of this server ([`Registry::lookup_local`]).

mod limits;
mod peer_target;
mod routes;
mod sessions;
mod transition;

use alloc::collections::BTreeMap;

pub use limits::{RegistryError, RegistryLedger, RegistryLimits, Tally};
pub use peer_target::{
    InvalidPeerTarget, NotEncodable, lacks_client, no_such_client, peer_target,
    says_no_such_client, split_peer_target,
};
pub(crate) use routes::check_route;
pub use routes::{Announcement, Candidate, RouteChange};
pub use sessions::{Entry, SessionKey, SessionKind};
pub use transition::{InsertedSession, RemovedSession};

use crate::wire::{ClientRoute, Dialect};
use limits::Counter;
use routes::Routes;
use sessions::Names;

/// The sessions of one server and the routes that its peers announce.
///
/// Each change of a session returns its consequences: the session to close, the announcements to
/// send. It never waits, so a client whose old session does not end can always come back with a new
/// one.
///
/// ```
/// use watertight_core::registry::{Candidate, Registry, RegistryLimits};
///
/// let mut registry = Registry::new(RegistryLimits::default());
/// let first = registry.insert_agent("edge-7")?.session;
/// let inserted = registry.insert_agent("edge-7")?;
/// assert_eq!(inserted.replaced, Some(first)); // close it; it is out of the registry already
///
/// let best = registry.lookup("edge-7").next();
/// assert_eq!(best, Some(Candidate::Local(inserted.session)));
/// assert!(registry.remove(first).is_none()); // too late to harm its successor
/// # Ok::<(), watertight_core::registry::RegistryError>(())
/// ```
#[derive(Debug)]
pub struct Registry {
    limits: RegistryLimits,
    last_key: SessionKey,
    sessions: BTreeMap<SessionKey, Entry>,
    names: Names,
    routes: Routes,
    agents: Counter,
    peers: Counter,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: RegistryLimits) -> Self {
        Self {
            limits,
            last_key: SessionKey::default(),
            sessions: BTreeMap::new(),
            names: Names::default(),
            routes: Routes::default(),
            agents: Counter::default(),
            peers: Counter::default(),
        }
    }

    /// A client's session is established. It takes over from the client's older one.
    ///
    /// A client whose key a peer of the base protocol could not dial is not announced to it
    /// ([`RouteChange::check`]).
    ///
    /// # Errors
    ///
    /// The key is empty or too long, or the server is full; the session is to be refused.
    pub fn insert_agent(&mut self, client_key: &str) -> Result<InsertedSession, RegistryError> {
        self.insert(SessionKind::Agent, client_key, Dialect::Extended)
    }

    /// A peer server that proved its identity connected to this one, and may announce clients.
    ///
    /// # Errors
    ///
    /// As [`Registry::insert_agent`].
    pub fn insert_incoming_peer(
        &mut self,
        peer_id: &str,
        dialect: Dialect,
    ) -> Result<InsertedSession, RegistryError> {
        self.insert(SessionKind::IncomingPeer, peer_id, dialect)
    }

    /// This server connected to a peer. [`Registry::announcements`] returns what is sent first.
    ///
    /// # Errors
    ///
    /// As [`Registry::insert_agent`].
    pub fn insert_outgoing_peer(
        &mut self,
        peer_id: &str,
        dialect: Dialect,
    ) -> Result<InsertedSession, RegistryError> {
        self.insert(SessionKind::OutgoingPeer, peer_id, dialect)
    }

    /// A session ended. `None` if it is not registered (any more): a session that was replaced
    /// does not take its successor with it.
    pub fn remove(&mut self, session: SessionKey) -> Option<RemovedSession> {
        let entry = self.retire(session)?;
        let announce = self.announce_removal(&entry, session);
        self.assert_balance();
        Some(RemovedSession { session, entry, announce })
    }

    /// A peer server is no longer one: its sessions, to be closed, and its routes are gone at once.
    pub fn remove_peer(&mut self, peer_id: &str) -> impl Iterator<Item = RemovedSession> + use<> {
        let peers = [SessionKind::IncomingPeer, SessionKind::OutgoingPeer];
        let sessions = peers.map(|kind| self.names.get(kind, peer_id));
        sessions.map(|session| self.remove(session?)).into_iter().flatten()
    }

    /// A peer announces a client. The peer that announced it first is tried first, for as long as
    /// it does, and keeps its position while another one does: a peer cannot draw the dials of
    /// another one's client to itself.
    ///
    /// Beyond the limits, it is remembered instead of another route of this peer to the same
    /// client, if there is one, which the peer need not take back any more: a client that comes
    /// back to a full peer is still found there.
    ///
    /// # Errors
    ///
    /// The session is no incoming peer, or announced too much. The announcement is ignored; the
    /// session need not end, and its other routes stay.
    pub fn peer_added_client(
        &mut self,
        peer: SessionKey,
        route: ClientRoute,
    ) -> Result<(), RegistryError> {
        self.check_announcer(peer)?;
        self.check_name(&route.client_key)?;
        self.routes.add(peer, route, &self.limits)?;
        self.assert_balance();
        Ok(())
    }

    /// A peer takes an announcement back. An announcement that it never made, or that was refused,
    /// has no effect.
    ///
    /// # Errors
    ///
    /// The session is no incoming peer.
    pub fn peer_removed_client(
        &mut self,
        peer: SessionKey,
        route: &ClientRoute,
    ) -> Result<(), RegistryError> {
        self.check_announcer(peer)?;
        self.routes.remove(peer, route);
        self.assert_balance();
        Ok(())
    }

    /// A peer turned out not to have a client that it announced: the client is not looked for
    /// there again until the peer announces it anew.
    pub fn forget_stale(&mut self, peer: SessionKey, client_key: &str) {
        self.routes.forget(peer, client_key);
        self.assert_balance();
    }

    /// The sessions through which to dial a client, the best first and each at most once: its
    /// session here, then the peers that announced it, the one that did so first in front.
    pub fn lookup(&self, client_key: &str) -> impl Iterator<Item = Candidate> {
        let local = self.lookup_local(client_key).map(Candidate::Local);
        let peers = self.routes.peers(client_key).into_iter().filter_map(|session| {
            let dialect = self.sessions.get(&session)?.dialect;
            Some(Candidate::Peer { session, dialect })
        });
        local.into_iter().chain(peers)
    }

    /// Where to dial a client for a peer: here or nowhere. Two servers that each take the other one
    /// for the client's home would pass such a dial back and forth.
    #[must_use]
    pub fn lookup_local(&self, client_key: &str) -> Option<SessionKey> {
        self.names.get(SessionKind::Agent, client_key)
    }

    /// The first announcements to an outgoing peer: every agent whose session is older than the
    /// peer's, in the order of the keys. Younger ones were announced as they came, and nothing is
    /// announced twice.
    ///
    /// A full outbox can stop anywhere and continue later `after` the last key: changes in between
    /// were announced as they happened.
    pub fn announcements(
        &self,
        peer: SessionKey,
        after: Option<&str>,
    ) -> impl Iterator<Item = RouteChange> {
        let entry = self.sessions.get(&peer);
        let entry = entry.filter(|entry| entry.kind == SessionKind::OutgoingPeer);
        let agents = entry.map(|entry| (entry.dialect, self.names.agents_after(after)));
        agents.into_iter().flat_map(move |(dialect, agents)| {
            let older = agents.filter(move |(_, session)| *session < peer);
            let routes = older.map(|(key, session)| RouteChange::Added(session.route(key)));
            routes.filter(move |change| change.check(dialect).is_ok())
        })
    }

    /// The one session of a peer in one direction, if it is up.
    #[must_use]
    pub fn peer(&self, kind: SessionKind, peer_id: &str) -> Option<SessionKey> {
        if kind == SessionKind::Agent { None } else { self.names.get(kind, peer_id) }
    }

    /// How many routes a peer's session has announced that are remembered.
    #[must_use]
    pub fn routes_of(&self, peer: SessionKey) -> usize {
        self.routes.of_peer(peer)
    }

    /// The session that is registered under this key.
    #[must_use]
    pub fn get(&self, session: SessionKey) -> Option<&Entry> {
        self.sessions.get(&session)
    }

    /// Every agent, in the order of the client keys.
    pub fn agents(&self) -> impl Iterator<Item = (&str, SessionKey)> {
        self.names.agents_after(None)
    }

    /// Counts of added, removed and live rows. They balance at any time.
    #[must_use]
    pub fn ledger(&self) -> RegistryLedger {
        let [agents, incoming, outgoing] =
            [SessionKind::Agent, SessionKind::IncomingPeer, SessionKind::OutgoingPeer]
                .map(|kind| self.names.count(kind));
        RegistryLedger {
            agents: self.agents.tally(agents),
            peers: self.peers.tally(incoming + outgoing),
            routes: self.routes.tally(),
        }
    }
}

/// Keys come from the network; an empty one names nobody.
const fn check_length(name: &str, limit: usize) -> Result<(), RegistryError> {
    match name.len() {
        0 => Err(RegistryError::EmptyKey),
        length if length > limit => Err(RegistryError::KeyTooLong { length, limit }),
        _ => Ok(()),
    }
}

impl Registry {
    fn check_name(&self, name: &str) -> Result<(), RegistryError> {
        check_length(name, self.limits.key)
    }

    fn check_announcer(&self, peer: SessionKey) -> Result<(), RegistryError> {
        match self.sessions.get(&peer).map(|entry| entry.kind) {
            Some(SessionKind::IncomingPeer) => Ok(()),
            Some(_) => Err(RegistryError::NotAPeer),
            None => Err(RegistryError::NotRegistered),
        }
    }
}
