//! The sessions of a registry: how they come and go. One function inserts rows and one removes
//! them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;

use super::ledger::Counter;
use super::{Announcement, Registry, RegistryError, RouteChange};
use crate::wire::{ClientRoute, Dialect};

/// A session in a [`Registry`](super::Registry), which gives each its own key and none twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(u64);

impl SessionKey {
    /// The number, for logs.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// What a peer is told of a client with this session. Counting up is enough for the session
    /// key: it has to be unique among those that one server announces in one session.
    pub(super) fn route(self, client_key: &str) -> ClientRoute {
        let session_key = i64::try_from(self.0).unwrap_or(i64::MAX);
        ClientRoute { client_key: client_key.into(), session_key }
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who is at the other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionKind {
    /// A client of this server.
    Agent,
    /// A server that connected to this one.
    IncomingPeer,
    /// A server that this one connected to.
    OutgoingPeer,
}

/// A registered session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who is at the remote.
    pub kind: SessionKind,
    /// Its client key or peer id. Clients and peers may have the same ones.
    pub name: String,
    /// What the remote speaks, which decides what can be said to a peer.
    pub dialect: Dialect,
}

/// The one session of each name.
#[derive(Debug, Default)]
pub(super) struct Names {
    agents: BTreeMap<String, SessionKey>,
    incoming: BTreeMap<String, SessionKey>,
    outgoing: BTreeMap<String, SessionKey>,
}

impl Names {
    /// Gives the name to `session` and returns the one that had it.
    pub(super) fn assign(&mut self, entry: &Entry, session: SessionKey) -> Option<SessionKey> {
        self.of_mut(entry.kind).insert(entry.name.clone(), session)
    }

    /// Frees the name, unless a newer session has it.
    pub(super) fn release(&mut self, entry: &Entry, session: SessionKey) {
        if self.get(entry.kind, &entry.name) == Some(session) {
            self.of_mut(entry.kind).remove(&entry.name);
        }
    }

    pub(super) fn get(&self, kind: SessionKind, name: &str) -> Option<SessionKey> {
        self.of(kind).get(name).copied()
    }

    pub(super) fn count(&self, kind: SessionKind) -> usize {
        self.of(kind).len()
    }

    pub(super) fn agents_after(
        &self,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&str, SessionKey)> + use<'_> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let agents = self.agents.range::<str, _>((start, Bound::Unbounded));
        agents.map(|(client_key, &session)| (client_key.as_str(), session))
    }

    pub(super) fn outgoing(&self) -> impl Iterator<Item = SessionKey> {
        self.outgoing.values().copied()
    }

    const fn of(&self, kind: SessionKind) -> &BTreeMap<String, SessionKey> {
        match kind {
            SessionKind::Agent => &self.agents,
            SessionKind::IncomingPeer => &self.incoming,
            SessionKind::OutgoingPeer => &self.outgoing,
        }
    }

    const fn of_mut(&mut self, kind: SessionKind) -> &mut BTreeMap<String, SessionKey> {
        match kind {
            SessionKind::Agent => &mut self.agents,
            SessionKind::IncomingPeer => &mut self.incoming,
            SessionKind::OutgoingPeer => &mut self.outgoing,
        }
    }
}

/// What follows from a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsertedSession {
    /// The new session.
    pub session: SessionKey,
    /// The session that it takes over from. It is no longer registered and has to be closed.
    pub replaced: Option<SessionKey>,
    /// What to tell the peers, in this order.
    pub announce: Vec<Announcement>,
}

/// What follows from the end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedSession {
    /// The session that ended.
    pub session: SessionKey,
    /// What it was.
    pub entry: Entry,
    /// What to tell the peers.
    pub announce: Vec<Announcement>,
}

impl Registry {
    pub(super) fn insert(
        &mut self,
        kind: SessionKind,
        name: &str,
        dialect: Dialect,
    ) -> Result<InsertedSession, RegistryError> {
        self.check_name(name)?;
        self.check_room(kind, name)?;
        let entry = Entry { kind, name: name.into(), dialect };
        let (session, replaced) = self.enter(entry.clone());
        // The new route goes out before the old one is taken back: peers see no gap.
        let mut announce = self.announce_insertion(&entry, session);
        if let Some(old) = replaced
            && let Some(entry) = self.retire(old)
        {
            announce.extend(self.announce_removal(&entry, old));
        }
        self.assert_balance();
        Ok(InsertedSession { session, replaced, announce })
    }

    /// The only function that adds a row.
    fn enter(&mut self, entry: Entry) -> (SessionKey, Option<SessionKey>) {
        let session = self.last_key.next();
        self.last_key = session;
        self.counter(entry.kind).add();
        let replaced = self.names.assign(&entry, session);
        self.sessions.insert(session, entry);
        (session, replaced)
    }

    /// The only function that removes a row.
    pub(super) fn retire(&mut self, session: SessionKey) -> Option<Entry> {
        let entry = self.sessions.remove(&session)?;
        self.counter(entry.kind).remove();
        self.names.release(&entry, session);
        self.routes.remove_peer(session);
        Some(entry)
    }

    /// A session that replaces another one always has room.
    fn check_room(&self, kind: SessionKind, name: &str) -> Result<(), RegistryError> {
        let full = |limit| self.names.count(kind) >= limit && self.names.get(kind, name).is_none();
        let (agents, peers) = (self.limits.agents, self.limits.peers);
        match kind {
            SessionKind::Agent if full(agents) => {
                Err(RegistryError::TooManyAgents { limit: agents })
            }
            SessionKind::IncomingPeer | SessionKind::OutgoingPeer if full(peers) => {
                Err(RegistryError::TooManyPeers { limit: peers })
            }
            _ => Ok(()),
        }
    }

    fn announce_insertion(&self, entry: &Entry, session: SessionKey) -> Vec<Announcement> {
        self.announce(entry, RouteChange::Added(session.route(&entry.name)))
    }

    pub(super) fn announce_removal(&self, entry: &Entry, old: SessionKey) -> Vec<Announcement> {
        self.announce(entry, RouteChange::Removed(old.route(&entry.name)))
    }

    fn announce(&self, entry: &Entry, change: RouteChange) -> Vec<Announcement> {
        if entry.kind != SessionKind::Agent {
            return Vec::new();
        }
        let understands = |peer: &SessionKey| {
            self.sessions.get(peer).is_some_and(|entry| change.check(entry.dialect).is_ok())
        };
        let peers = self.names.outgoing().filter(understands);
        peers.map(|peer| Announcement { peer, change: change.clone() }).collect()
    }

    const fn counter(&mut self, kind: SessionKind) -> &mut Counter {
        match kind {
            SessionKind::Agent => &mut self.agents,
            SessionKind::IncomingPeer | SessionKind::OutgoingPeer => &mut self.peers,
        }
    }

    /// The ledger counts names; each of them has exactly one session behind it.
    pub(super) fn assert_balance(&self) {
        if cfg!(debug_assertions) {
            let ledger = self.ledger();
            assert!(ledger.is_balanced(), "the registry lost a row: {ledger:?}");
            let named = ledger.agents.live + ledger.peers.live;
            assert_eq!(u64::try_from(self.sessions.len()), Ok(named), "a session without a name");
        }
    }
}
