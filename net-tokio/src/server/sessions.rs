//! The one table of a server's sessions: clients, and peers in both directions.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Ledger;
use watertight_core::registry::{
    Announcement, Candidate, Registry, RegistryError, RegistryLedger, RegistryLimits, SessionKey,
    SessionKind,
};
use watertight_core::wire::Dialect;

use super::auth::{Credential, Grant};
use super::handshakes::Source;
use super::peering::{PeerIdentity, PeerTable, RouteConflicts};
use super::permits::{Permit, Permits, RateLimit};
use super::superseded::{Superseded, Takeovers};
#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::session::{PastSessions, Shared};
use crate::tasks::Tasks;

/// The average interval at which a source may send wrong tokens without a delay.
const WRONG_TOKEN: Duration = Duration::from_secs(6);

/// A connected client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its key.
    pub key: String,
    /// Its session. A later session of the same client has another key.
    pub session: SessionKey,
    /// The time since its session began.
    pub connected_for: Duration,
    /// The address that it connected from, if it has one.
    pub remote: Option<SocketAddr>,
    /// Its identity, as the authentication hook has given it to the [`Grant`].
    pub identity: Option<String>,
    credential: Option<Credential>,
    /// Its dialect.
    pub dialect: Dialect,
    /// The round-trip time, once measured. It is never measured with a base-dialect client, which
    /// only sends pings.
    pub rtt: Option<Duration>,
    /// Whether its session drains and takes no new dials.
    pub going_away: bool,
    /// The ledger of its session.
    pub ledger: Ledger,
}

impl ClientInfo {
    /// The credential of the client, as the authentication hook has given it to the [`Grant`].
    #[must_use]
    pub fn credential<T: Any>(&self) -> Option<&T> {
        self.credential.as_ref()?.get()
    }
}

/// The ledger of a server.
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
    pub fn is_settled(&self) -> bool {
        self.registry.is_empty() && self.connections.is_settled() && self.tasks == 0
    }
}

/// A session that is up.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) kind: SessionKind,
    /// Of a client. The key of a peer is its id.
    pub(super) grant: Grant,
    pub(super) shared: Arc<Shared>,
    pub(super) since: Instant,
    pub(super) remote: Option<SocketAddr>,
    pub(super) dialect: Dialect,
}

/// A new session.
pub(crate) struct NewSession<'a> {
    pub(crate) kind: SessionKind,
    /// The key of a peer is its id.
    pub(crate) grant: &'a Grant,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) dialect: Dialect,
}

/// A session that reaches a client, directly or through a peer.
pub(crate) struct DialRoute {
    pub(crate) candidate: Candidate,
    pub(crate) shared: Arc<Shared>,
}

/// A session that was added.
pub(crate) struct Added<R> {
    pub(crate) session: SessionKey,
    /// The session of the same client or peer that it replaced, which is to be closed, and its
    /// remote address.
    pub(crate) replaced: Option<(Arc<Shared>, Option<SocketAddr>)>,
    pub(crate) task: R,
}

#[derive(Debug)]
pub(crate) struct Sessions {
    pub(super) registry: Registry,
    pub(super) running: BTreeMap<SessionKey, Running>,
    pub(super) peer_table: PeerTable,
    /// The number of routes that the metrics show.
    pub(super) routes: u64,
    superseded: Superseded,
    pub(super) route_conflicts: RouteConflicts,
    pub(super) takeovers: Takeovers,
    /// The rate of new sessions.
    pub(super) starts: RateLimit<(SessionKind, String)>,
    /// The rate of wrong tokens.
    pub(super) wrong_tokens: RateLimit<Source>,
    past: PastSessions,
    permits: Permits,
    max_agents: usize,
    /// Calls of [`recheck`](Self::recheck).
    checks: u64,
    closed: bool,
}

impl Sessions {
    pub(crate) fn new(
        limits: RegistryLimits,
        identity: Option<PeerIdentity>,
        takeovers: Takeovers,
        starts: RateLimit<(SessionKind, String)>,
    ) -> Self {
        Self {
            max_agents: limits.agents,
            peer_table: PeerTable::new(identity, limits.clone()),
            routes: 0,
            registry: Registry::new(limits),
            running: BTreeMap::new(),
            superseded: Superseded::default(),
            route_conflicts: RouteConflicts::default(),
            takeovers,
            starts,
            wrong_tokens: RateLimit::new(WRONG_TOKEN),
            past: PastSessions::default(),
            permits: Permits::default(),
            checks: 0,
            closed: false,
        }
    }

    /// Reserves capacity for a session of this client. A session that replaces another one needs none.
    pub(crate) fn reserve(&self, grant: Grant, checks: u64) -> Result<Permit, RegistryError> {
        let key = &grant.key;
        let is_new = |key: &str| self.registry.lookup_local(key).is_none();
        if is_new(key) && !self.permits.has(key) {
            let live = self.registry.ledger().agents.live;
            let reserved = self.permits.clients(is_new);
            if live + reserved as u64 >= self.max_agents as u64 {
                return Err(RegistryError::TooManyAgents { limit: self.max_agents });
            }
        }
        Ok(self.permits.grant(grant, checks))
    }

    /// The session of a client that cannot be replaced for a while if it is alive, and for how long.
    pub(super) fn protected_session(&self, key: &str) -> Option<(Arc<Shared>, Duration)> {
        Some((self.lookup_local(key)?, self.takeovers.protected_for(key)?))
    }

    /// Every session of a client. A remote that was authenticated before now and has no session is refused.
    pub(super) fn recheck(&mut self) -> Vec<(ClientInfo, Arc<Shared>)> {
        self.checks += 1;
        let agents = self.running.iter().filter(|(_, it)| it.kind == SessionKind::Agent);
        agents.map(|(session, it)| (it.info(*session), Arc::clone(&it.shared))).collect()
    }

    /// Calls of [`recheck`](Self::recheck).
    pub(super) const fn checks(&self) -> u64 {
        self.checks
    }

    /// Registers a session, which `prepare` makes, with a task that is not spawned yet.
    pub(crate) fn add<R>(
        &mut self,
        new: &NewSession<'_>,
        tasks: &Tasks,
        prepare: impl FnOnce(SessionKey) -> (Arc<Shared>, R),
    ) -> Result<Added<R>, RegistryError> {
        let NewSession { kind, grant, remote, dialect } = *new;
        let key = &*grant.key;
        let inserted = match kind {
            SessionKind::Agent => self.registry.insert_agent(key)?,
            SessionKind::IncomingPeer => self.registry.insert_incoming_peer(key, dialect)?,
            SessionKind::OutgoingPeer => self.registry.insert_outgoing_peer(key, dialect)?,
        };
        self.announce(inserted.announce);
        let replaced = inserted.replaced.and_then(|old| self.running.get(&old));
        let replaced = replaced.map(|old| (Arc::clone(&old.shared), old.remote));
        let session = inserted.session;
        let (shared, task) = prepare(session);
        self.superseded.add(kind, key, session, tasks.clone());
        let running =
            Running { kind, grant: grant.clone(), shared, since: Instant::now(), remote, dialect };
        let before = self.running.insert(session, running);
        debug_assert!(before.is_none(), "a session key is used once");
        self.observe_routes();
        self.assert_registered();
        Ok(Added { session, replaced, task })
    }

    /// A session's driver has ended.
    pub(crate) fn remove(&mut self, session: SessionKey) {
        if let Some(removed) = self.registry.remove(session) {
            self.announce(removed.announce);
            self.observe_routes();
        }
        let running = self.running.remove(&session);
        debug_assert!(running.is_some(), "a session is in the table until its driver ends");
        if let Some(running) = running {
            self.past.add(running.shared);
        }
        self.assert_registered();
    }

    /// The registry and the table are in step. Superseded sessions are in the table only.
    fn assert_registered(&self) {
        let ledger = self.registry.ledger();
        debug_assert!(ledger.is_balanced(), "the registry's ledger is balanced");
        let registered = ledger.agents.live + ledger.peers.live;
        debug_assert!(registered <= self.running.len() as u64, "registered sessions are up");
    }

    /// Announces changes to the peers. Under the lock, so that announcements are in the order of the changes.
    fn announce(&self, announcements: Vec<Announcement>) {
        for Announcement { peer, change } in announcements {
            if let Some(running) = self.running.get(&peer) {
                running.shared.announce(change);
            }
        }
    }

    /// A session's last task has ended.
    pub(crate) fn tasks_ended(&mut self, kind: SessionKind, key: &str, session: SessionKey) {
        self.superseded.remove(kind, key, session);
    }

    pub(crate) fn shared(&self, session: SessionKey) -> Option<Arc<Shared>> {
        self.running.get(&session).map(|running| Arc::clone(&running.shared))
    }

    /// The best route to a client, except the sessions that were tried.
    pub(crate) fn route(&self, key: &str, tried: &[SessionKey]) -> Option<DialRoute> {
        self.candidates(key).find_map(|candidate| {
            let session = candidate.session();
            let untried = !tried.contains(&session);
            untried.then(|| self.shared(session))?.map(|shared| DialRoute { candidate, shared })
        })
    }

    /// The routes to a client, the best one first. A server that has become a peer is no client of
    /// others any more.
    pub(super) fn candidates(&self, key: &str) -> impl Iterator<Item = Candidate> {
        let is_server = self.peer_table.is_server(key);
        let candidates = self.registry.lookup(key);
        candidates.filter(move |candidate| !is_server || matches!(candidate, Candidate::Local(_)))
    }

    /// The client's own session, if it is connected here.
    pub(crate) fn lookup_local(&self, key: &str) -> Option<Arc<Shared>> {
        self.shared(self.registry.lookup_local(key)?)
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
        let connections = self.past.sum(running);
        ServerLedger { registry: self.registry.ledger(), connections, tasks }
    }

    /// Entries of the tables that the ledger does not count.
    #[cfg(feature = "simulation")]
    pub(crate) fn kept(&self) -> Kept {
        let held = self.past.held();
        let streams = |shared: &Arc<Shared>| shared.lock().handles();
        Kept {
            streams: self.running().chain(&held).map(streams).sum(),
            permits: self.permits.len(),
            sessions: self.superseded.sessions(),
            held: held.len(),
            ..Kept::default()
        }
    }

    /// Every session that is up.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.running.values().map(|running| &running.shared)
    }

    /// A client's sessions that are up: the newest, and draining ones.
    pub(crate) fn sessions_of(&self, key: &str) -> Vec<Arc<Shared>> {
        let is_its =
            |running: &&Running| running.kind == SessionKind::Agent && running.grant.key == key;
        let running = self.running.values().filter(is_its);
        running.map(|running| Arc::clone(&running.shared)).collect()
    }

    /// Sessions that have ended and still hold something for the application.
    pub(crate) fn held(&self) -> Vec<Arc<Shared>> {
        self.past.held()
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
            key: self.grant.key.clone(),
            session,
            connected_for: self.since.elapsed(),
            remote: self.remote,
            identity: self.grant.identity.clone(),
            credential: self.grant.credential.clone(),
            dialect: self.dialect,
            rtt: state.core.rtt(),
            going_away: state.core.is_going_away(),
            ledger: state.core.ledger(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_a_connection_or_a_session_unsettles_a_ledger() {
        let (registry, connections) = (RegistryLedger::default(), Ledger::default());
        let even = ServerLedger { registry, connections, tasks: 0 };
        assert!(even.is_settled());
        assert!(!ServerLedger { tasks: 1, ..even }.is_settled());
        let mut uneven = even;
        uneven.connections.added = 1;
        assert!(!uneven.is_settled());
        let mut registry = Registry::new(RegistryLimits::default());
        registry.insert_agent("a").unwrap();
        assert!(!ServerLedger { registry: registry.ledger(), ..even }.is_settled());
    }

    fn reserve(sessions: &Sessions, key: &str) -> Result<Permit, RegistryError> {
        sessions.reserve(Grant::new(key), 0)
    }

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let limits = RegistryLimits { agents: 2, ..RegistryLimits::default() };
        let mut sessions = Sessions::new(
            limits,
            None,
            Takeovers::new(Duration::ZERO),
            RateLimit::new(Duration::ZERO),
        );
        let full = RegistryError::TooManyAgents { limit: 2 };
        let old = sessions.registry.insert_agent("a").unwrap().session;
        let permit = reserve(&sessions, "b").unwrap();
        assert_eq!(reserve(&sessions, "c").unwrap_err(), full);
        drop(permit);

        // A client that reconnects is counted once, also when its old session ends meanwhile.
        let again = [(); 2].map(|()| reserve(&sessions, "a").unwrap());
        let _permit = reserve(&sessions, "c").unwrap();
        assert_eq!(reserve(&sessions, "d").unwrap_err(), full);
        sessions.registry.remove(old);
        assert_eq!(reserve(&sessions, "d").unwrap_err(), full);
        drop(again);
        reserve(&sessions, "d").unwrap();
    }
}
