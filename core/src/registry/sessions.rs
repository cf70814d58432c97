//! The sessions of a registry, and their names.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt;
use core::ops::Bound;

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

    /// The route that is announced of a client with this session. Counting up is enough for the
    /// session key: it has to be unique among the keys that one server announces in one session.
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

/// The remote of a session.
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
    /// The remote's dialect, which decides what can be encoded for a peer.
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
