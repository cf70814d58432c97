//! How sessions are registered and removed. One function inserts rows and one removes them.

use alloc::vec::Vec;

use super::limits::Counter;
use super::routes::{Announcement, RouteChange};
use super::sessions::{Entry, SessionKey, SessionKind};
use super::{Registry, RegistryError};
use crate::wire::Dialect;

/// The consequences of a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InsertedSession {
    /// The new session.
    pub session: SessionKey,
    /// The session that it takes over from. It is no longer registered and has to be closed.
    pub replaced: Option<SessionKey>,
    /// The announcements to the peers, in order.
    pub announce: Vec<Announcement>,
}

/// The consequences of the end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedSession {
    /// The session that ended.
    pub session: SessionKey,
    /// Its kind, name and dialect.
    pub entry: Entry,
    /// The announcements to the peers.
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
        self.check_capacity(kind, name)?;
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
        let before = self.sessions.insert(session, entry);
        debug_assert!(before.is_none(), "the key {session} is given twice");
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

    /// A session that replaces another one always has capacity.
    fn check_capacity(&self, kind: SessionKind, name: &str) -> Result<(), RegistryError> {
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
