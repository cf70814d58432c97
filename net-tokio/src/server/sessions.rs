//! The server's sessions: those that run, and what is left of those that ran.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::registry::{
    Candidate, Registry, RegistryError, RegistryLedger, RegistryLimits, SessionKey,
};
use watertight_core::wire::{Dialect, GoAwayCode};
use watertight_core::{Ledger, SessionEnd};

use super::crowd::Crowd;
use crate::session::{Books, Shared};
use crate::tasks::Tasks;

/// A connected client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its key.
    pub key: String,
    /// Its session. A later one of the same client has another number.
    pub session: SessionKey,
    /// How long its session has been up.
    pub connected_for: Duration,
    /// The address it connected from, where it has one.
    pub remote: Option<SocketAddr>,
    /// What it speaks.
    pub dialect: Dialect,
    /// The round trip to it, once measured. Never with a base-dialect client, which only sends
    /// pings.
    pub rtt: Option<Duration>,
    /// Whether its session takes no new dials, because one of the ends drains it.
    pub going_away: bool,
    /// Its session's books.
    pub ledger: Ledger,
}

/// The books of a server.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServerLedger {
    /// Sessions and peer routes.
    pub registry: RegistryLedger,
    /// Connections of all sessions, past ones included.
    pub connections: Ledger,
    /// Tasks alive.
    pub tasks: usize,
}

impl ServerLedger {
    /// Whether nothing is left: every session and connection that was added was removed, nothing
    /// is buffered, no task is alive.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.registry.is_empty() && self.connections.is_even() && self.tasks == 0
    }
}

/// A session that is up.
#[derive(Debug)]
struct Running {
    key: String,
    shared: Arc<Shared>,
    since: Instant,
    remote: Option<SocketAddr>,
    dialect: Dialect,
}

/// Room for one session of a client, kept until it is dropped: whoever has it is not refused for
/// want of room after it was told that it is welcome.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) key: String,
    _count: Arc<()>,
}

/// What a session starts with.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) place: Place,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) dialect: Dialect,
}

/// What came of an [`Admission`].
pub(crate) struct Added<R> {
    pub(crate) session: SessionKey,
    /// Whether it took over from an older session.
    pub(crate) replaced: bool,
    pub(crate) task: R,
}

#[derive(Debug)]
pub(crate) struct Sessions {
    registry: Registry,
    running: BTreeMap<SessionKey, Running>,
    crowd: Crowd,
    books: Books,
    /// Each [`Place`] has a clone of it.
    places: Arc<()>,
    max_agents: usize,
    closed: bool,
}

impl Sessions {
    pub(crate) fn new(limits: RegistryLimits) -> Self {
        Self {
            max_agents: limits.agents,
            registry: Registry::new(limits),
            running: BTreeMap::new(),
            crowd: Crowd::default(),
            books: Books::default(),
            places: Arc::new(()),
            closed: false,
        }
    }

    /// Keeps room for a session of this client. One that replaces another session always has it.
    pub(crate) fn reserve(&self, key: String) -> Result<Place, RegistryError> {
        let reserved = Arc::strong_count(&self.places) - 1;
        let taken = self.registry.ledger().agents.live + reserved as u64;
        let full = taken >= self.max_agents as u64;
        if full && self.registry.lookup_local(&key).is_none() {
            return Err(RegistryError::TooManyAgents { limit: self.max_agents });
        }
        Ok(Place { key, _count: Arc::clone(&self.places) })
    }

    /// Registers a session, which `prepare` makes with a task that is still to be spawned among
    /// `tasks`. The one that it replaces is closed, unless it drains.
    pub(crate) fn add<R>(
        &mut self,
        admission: &Admission,
        tasks: Tasks,
        prepare: impl FnOnce(SessionKey) -> (Arc<Shared>, R),
    ) -> Result<Added<R>, RegistryError> {
        let Admission { place: Place { key, .. }, remote, dialect } = admission;
        let inserted = self.registry.insert_agent(key)?;
        let replaced = inserted.replaced.and_then(|old| self.running.get(&old));
        if let Some(old) = replaced {
            old.shared.command(|core, now| {
                // One that drains takes no new dials, and its connections may run to their end.
                if !core.is_going_away() {
                    let text = "a newer session of this client took over";
                    core.close(now, GoAwayCode::REPLACED, text);
                }
            });
        }
        let replaced = replaced.is_some();
        let session = inserted.session;
        let (shared, task) = prepare(session);
        self.crowd.enter(key, session, tasks);
        let running = Running {
            key: key.clone(),
            shared,
            since: Instant::now(),
            remote: *remote,
            dialect: *dialect,
        };
        self.running.insert(session, running);
        Ok(Added { session, replaced, task })
    }

    /// A session's driver has ended.
    pub(crate) fn remove(&mut self, session: SessionKey) {
        self.registry.remove(session);
        if let Some(running) = self.running.remove(&session) {
            self.books.close(running.shared);
        }
    }

    /// A session's last task is gone.
    pub(crate) fn leave(&mut self, client: &str, session: SessionKey) {
        self.crowd.leave(client, session);
    }

    /// Where to dial a client: its newest session.
    pub(crate) fn lookup(&self, key: &str) -> Option<Arc<Shared>> {
        self.registry.lookup(key).find_map(|candidate| match candidate {
            Candidate::Local(session) => {
                self.running.get(&session).map(|running| Arc::clone(&running.shared))
            }
            Candidate::Peer { .. } => None,
        })
    }

    pub(crate) fn clients(&self) -> Vec<ClientInfo> {
        let agents = self.registry.agents();
        agents.filter_map(|(_, session)| self.info(session)).collect()
    }

    pub(crate) fn client(&self, key: &str) -> Option<ClientInfo> {
        self.info(self.registry.lookup_local(key)?)
    }

    fn info(&self, session: SessionKey) -> Option<ClientInfo> {
        self.running.get(&session).map(|running| running.info(session))
    }

    pub(crate) fn ledger(&mut self, tasks: usize) -> ServerLedger {
        let running = self.running.values().map(|running| &running.shared);
        let connections = self.books.sum(running);
        ServerLedger { registry: self.registry.ledger(), connections, tasks }
    }

    /// Every session that is up, for the server's own end.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.running.values().map(|running| &running.shared)
    }

    /// Lets go of what ended sessions still hold for the application.
    pub(crate) fn abandon(&mut self) {
        self.books.abandon();
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Running {
    fn info(&self, session: SessionKey) -> ClientInfo {
        let state = self.shared.lock();
        ClientInfo {
            key: self.key.clone(),
            session,
            connected_for: self.since.elapsed(),
            remote: self.remote,
            dialect: self.dialect,
            rtt: state.core.rtt(),
            going_away: state.core.is_going_away(),
            ledger: state.core.ledger(),
        }
    }
}

/// What happened to a client's session. Events come in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A client's session is up.
    Connected {
        /// The client.
        key: String,
        /// The session.
        session: SessionKey,
        /// The address it connected from, where it has one.
        remote: Option<SocketAddr>,
        /// What it speaks.
        dialect: Dialect,
        /// Whether it took over from an older session of the same client.
        replaced: bool,
    },
    /// A session has ended. A client whose session was replaced is still connected.
    Gone {
        /// The client.
        key: String,
        /// The session, which was announced as connected before.
        session: SessionKey,
        /// Why.
        end: SessionEnd,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_until_it_is_given_back() {
        let limits = RegistryLimits { agents: 2, ..RegistryLimits::default() };
        let mut sessions = Sessions::new(limits);
        sessions.registry.insert_agent("a").unwrap();
        let place = sessions.reserve("b".into()).unwrap();
        assert_eq!(
            sessions.reserve("c".into()).unwrap_err(),
            RegistryError::TooManyAgents { limit: 2 }
        );
        let again = sessions.reserve("a".into()).unwrap();
        drop(place);
        // The old session of the one that comes again may end before: its room is spoken for.
        sessions.reserve("c".into()).unwrap_err();
        drop(again);
        sessions.reserve("c".into()).unwrap();
    }
}
