//! The server's sessions: those that run, and what is left of those that ran.

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
use super::crowd::Crowd;
use super::handshakes::Source;
use super::pace::Pace;
use super::peering::{Contests, PeerBook, PeerIdentity};
use super::turns::Turns;
#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::session::{Books, Shared};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use crate::tasks::Tasks;

/// How often a source may give a wrong token, on average, and is answered at once.
const GUESS: Duration = Duration::from_secs(6);

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
    /// What it has proved to be, as the authentication hook says.
    pub identity: Option<String>,
    credential: Option<Credential>,
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

impl ClientInfo {
    /// What the client was let in with, as the authentication hook has given it to its [`Grant`].
    #[must_use]
    pub fn credential<T: Any>(&self) -> Option<&T> {
        self.credential.as_ref()?.get()
    }
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
    pub fn is_settled(&self) -> bool {
        self.registry.is_empty() && self.connections.is_settled() && self.tasks == 0
    }
}

/// A session that is up.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) kind: SessionKind,
    /// As whom a client was let in; that of a peer is its id.
    pub(super) grant: Grant,
    pub(super) shared: Arc<Shared>,
    pub(super) since: Instant,
    pub(super) remote: Option<SocketAddr>,
    pub(super) dialect: Dialect,
}

/// Room for one session of a client, kept until it is dropped: whoever has it is not refused for
/// want of room after it was told that it is authorize.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) grant: Grant,
    /// How often everybody had been asked again before it was granted.
    pub(super) checks: u64,
    permits: Arc<Permits>,
}

/// How many permits each client has that has some.
type Permits = Mutex<BTreeMap<String, usize>>;

impl Permit {
    fn new(grant: Grant, checks: u64, permits: &Arc<Permits>) -> Self {
        *lock(permits).entry(grant.key.clone()).or_default() += 1;
        Self { grant, checks, permits: Arc::clone(permits) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut permits = lock(&self.permits);
        if let Some(count) = permits.get_mut(&self.grant.key) {
            *count -= 1;
            if *count == 0 {
                permits.remove(&self.grant.key);
            }
        }
    }
}

fn lock(permits: &Permits) -> MutexGuard<'_, BTreeMap<String, usize>> {
    permits.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session starts with.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) permit: Permit,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) dialect: Dialect,
}

/// Who begins a session.
pub(crate) struct NewSession<'a> {
    pub(crate) kind: SessionKind,
    /// That of a peer is its id.
    pub(crate) grant: &'a Grant,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) dialect: Dialect,
}

/// A session to dial on, and what to ask it for a client.
pub(crate) struct DialRoute {
    pub(crate) candidate: Candidate,
    pub(crate) shared: Arc<Shared>,
}

/// What came of a [`NewSession`].
pub(crate) struct Added<R> {
    pub(crate) session: SessionKey,
    /// The older session that it took over from, which is to be told.
    pub(crate) replaced: Option<Arc<Shared>>,
    /// Where that one came from, where it has an address.
    pub(crate) replaced_remote: Option<SocketAddr>,
    pub(crate) task: R,
}

#[derive(Debug)]
pub(crate) struct Sessions {
    pub(super) registry: Registry,
    pub(super) running: BTreeMap<SessionKey, Running>,
    pub(super) book: PeerBook,
    /// Routes that the metrics tell of.
    pub(super) routes: u64,
    crowd: Crowd,
    pub(super) contests: Contests,
    pub(super) turns: Turns,
    pub(super) pace: Pace<(SessionKind, String)>,
    /// Of wrong tokens.
    pub(super) guesses: Pace<Source>,
    books: Books,
    permits: Arc<Permits>,
    max_agents: usize,
    /// How often everybody was asked again who he is.
    checks: u64,
    closed: bool,
}

impl Sessions {
    pub(crate) fn new(
        limits: RegistryLimits,
        identity: Option<PeerIdentity>,
        turns: Turns,
        pace: Pace<(SessionKind, String)>,
    ) -> Self {
        Self {
            max_agents: limits.agents,
            book: PeerBook::new(identity, limits.clone()),
            routes: 0,
            registry: Registry::new(limits),
            running: BTreeMap::new(),
            crowd: Crowd::default(),
            contests: Contests::default(),
            turns,
            pace,
            guesses: Pace::new(GUESS),
            books: Books::default(),
            permits: Arc::default(),
            checks: 0,
            closed: false,
        }
    }

    /// Keeps room for a session of this client. One that replaces another session always has it.
    pub(crate) fn reserve(&self, grant: Grant, checks: u64) -> Result<Permit, RegistryError> {
        let key = &grant.key;
        let is_new = |key: &String| self.registry.lookup_local(key).is_none();
        if is_new(key) && !lock(&self.permits).contains_key(key) {
            let live = self.registry.ledger().agents.live;
            let reserved = lock(&self.permits).keys().filter(|key| is_new(key)).count();
            if live + reserved as u64 >= self.max_agents as u64 {
                return Err(RegistryError::TooManyAgents { limit: self.max_agents });
            }
        }
        Ok(Permit::new(grant, checks, &self.permits))
    }

    /// The session of a client that stays for a while, if it is alive: two agents take turns.
    pub(super) fn incumbent(&self, key: &str) -> Option<(Arc<Shared>, Duration)> {
        Some((self.lookup_local(key)?, self.turns.stays(key)?))
    }

    /// Every session of a client. Whoever was authenticated before now, and has none, gets none.
    pub(super) fn recheck(&mut self) -> Vec<(ClientInfo, Arc<Shared>)> {
        self.checks += 1;
        let agents = self.running.iter().filter(|(_, it)| it.kind == SessionKind::Agent);
        agents.map(|(session, it)| (it.info(*session), Arc::clone(&it.shared))).collect()
    }

    /// How often everybody was asked again who he is.
    pub(super) const fn checks(&self) -> u64 {
        self.checks
    }

    /// Registers a session, which `prepare` makes with a task that is still to be spawned among
    /// `tasks`, where there are some of the session's own.
    pub(crate) fn add<R>(
        &mut self,
        new: &NewSession<'_>,
        tasks: Option<Tasks>,
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
        let replaced_remote =
            inserted.replaced.and_then(|old| self.running.get(&old)).and_then(|old| old.remote);
        let replaced = inserted.replaced.and_then(|old| self.shared(old));
        let session = inserted.session;
        let (shared, task) = prepare(session);
        if let Some(tasks) = tasks {
            self.crowd.enter(kind, key, session, tasks);
        }
        let since = Instant::now();
        let grant = grant.clone();
        let running = Running { kind, grant, shared, since, remote, dialect };
        self.running.insert(session, running);
        self.observe_routes();
        Ok(Added { session, replaced, replaced_remote, task })
    }

    /// A session's driver has ended.
    pub(crate) fn remove(&mut self, session: SessionKey) {
        if let Some(removed) = self.registry.remove(session) {
            self.announce(removed.announce);
            self.observe_routes();
        }
        if let Some(running) = self.running.remove(&session) {
            self.books.close(running.shared);
        }
    }

    /// Tells the peers what changed. Under the books' lock, so that they are told in the order in
    /// which it did.
    fn announce(&self, announcements: Vec<Announcement>) {
        for Announcement { peer, change } in announcements {
            if let Some(running) = self.running.get(&peer) {
                running.shared.announce(change);
            }
        }
    }

    /// A session's last task is gone.
    pub(crate) fn leave(&mut self, kind: SessionKind, key: &str, session: SessionKey) {
        self.crowd.leave(kind, key, session);
    }

    pub(crate) fn shared(&self, session: SessionKey) -> Option<Arc<Shared>> {
        self.running.get(&session).map(|running| Arc::clone(&running.shared))
    }

    /// The best way to a client, other than those that were tried.
    pub(crate) fn way(&self, key: &str, tried: &[SessionKey]) -> Option<DialRoute> {
        self.candidates(key).find_map(|candidate| {
            let session = candidate.session();
            let untried = !tried.contains(&session);
            untried.then(|| self.shared(session))?.map(|shared| DialRoute { candidate, shared })
        })
    }

    /// The ways to a client, the best one first. A server that has become a peer is no client of
    /// others any more.
    pub(super) fn candidates(&self, key: &str) -> impl Iterator<Item = Candidate> {
        let is_server = self.book.is_server(key);
        let candidates = self.registry.lookup(key);
        candidates.filter(move |way| !is_server || matches!(way, Candidate::Local(_)))
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
        let connections = self.books.sum(running);
        ServerLedger { registry: self.registry.ledger(), connections, tasks }
    }

    /// What the tables hold that the ledger does not count.
    #[cfg(feature = "simulation")]
    pub(crate) fn kept(&self) -> Kept {
        let held = self.books.held();
        let streams = |shared: &Arc<Shared>| shared.lock().handles();
        Kept {
            streams: self.running().chain(&held).map(streams).sum(),
            permits: lock(&self.permits).values().sum(),
            sessions: self.crowd.sessions(),
            held: held.len(),
            ..Kept::default()
        }
    }

    /// Every session that is up, for the server's own end.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.running.values().map(|running| &running.shared)
    }

    /// A client's sessions that are up: its newest, and those that drain.
    pub(crate) fn of_client(&self, key: &str) -> Vec<Arc<Shared>> {
        let is_its =
            |running: &&Running| running.kind == SessionKind::Agent && running.grant.key == key;
        let running = self.running.values().filter(is_its);
        running.map(|running| Arc::clone(&running.shared)).collect()
    }

    /// Sessions that have ended and still hold something for the application.
    pub(crate) fn held(&self) -> Vec<Arc<Shared>> {
        self.books.held()
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
    fn a_task_a_connection_or_a_session_makes_a_ledger_uneven() {
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
    fn a_place_is_kept_until_it_is_given_back() {
        let limits = RegistryLimits { agents: 2, ..RegistryLimits::default() };
        let mut sessions =
            Sessions::new(limits, None, Turns::new(Duration::ZERO), Pace::new(Duration::ZERO));
        let full = RegistryError::TooManyAgents { limit: 2 };
        let old = sessions.registry.insert_agent("a").unwrap().session;
        let permit = reserve(&sessions, "b").unwrap();
        assert_eq!(reserve(&sessions, "c").unwrap_err(), full);
        drop(permit);

        // One that comes again is counted once, also when its old session ends meanwhile.
        let again = [(); 2].map(|()| reserve(&sessions, "a").unwrap());
        let _place = reserve(&sessions, "c").unwrap();
        assert_eq!(reserve(&sessions, "d").unwrap_err(), full);
        sessions.registry.remove(old);
        assert_eq!(reserve(&sessions, "d").unwrap_err(), full);
        drop(again);
        reserve(&sessions, "d").unwrap();
    }
}
