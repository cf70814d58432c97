//! Sessions that newer sessions of the same client or peer replace.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::registry::{SessionKey, SessionKind};

use crate::tasks::Tasks;

/// Older sessions of one client whose tasks may still run. A client that reconnects before its old session
/// has ended is usual after a broken network; a client that does so in a loop would accumulate sockets and
/// tasks.
const MAX_OLDER: usize = 4;

/// The sessions of each client and of each peer of which a task still runs, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    clients: BTreeMap<(SessionKind, String), VecDeque<(SessionKey, Tasks)>>,
}

impl Superseded {
    /// Adds a new session, and kills the oldest ones above [`LEAVING`].
    pub(super) fn add(
        &mut self,
        kind: SessionKind,
        client: &str,
        session: SessionKey,
        tasks: Tasks,
    ) {
        let sessions = self.clients.entry((kind, client.to_string())).or_default();
        sessions.push_back((session, tasks));
        while sessions.len() > 1 + MAX_OLDER {
            let Some((_, oldest)) = sessions.pop_front() else { return };
            oldest.kill();
        }
    }

    /// Sessions of which a task runs.
    #[cfg(feature = "simulation")]
    pub(super) fn sessions(&self) -> usize {
        self.clients.values().map(VecDeque::len).sum()
    }

    /// Removes a session whose last task has ended.
    pub(super) fn remove(&mut self, kind: SessionKind, client: &str, session: SessionKey) {
        let client = (kind, client.to_string());
        let Some(sessions) = self.clients.get_mut(&client) else { return };
        debug_assert!(!sessions.is_empty(), "a client without sessions has no entry");
        sessions.retain(|(of, _)| *of != session);
        if sessions.is_empty() {
            self.clients.remove(&client);
        }
    }
}

/// Replacements further apart than this are not counted together. Two agents with one key, as a copied
/// disk image makes them, replace each other every half minute at least.
const WITHIN: Duration = Duration::from_secs(600);

/// Replacements after which two agents with one key are assumed. One replacement is usual: a client that
/// reconnects before its old session is known to be dead.
const FIRST: u64 = 2;

/// The least time between two warnings about one client.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
const _: () = assert!(WARNING_INTERVAL.as_secs() < WITHIN.as_secs(), "a warning is repeated");

/// Clients that are remembered.
const CLIENTS: usize = 4096;

/// Clients whose sessions were replaced lately. Two agents with one key cut each other's connections, so
/// that each keeps the session for a while and the log names both.
#[derive(Debug)]
pub(super) struct Takeovers {
    clients: BTreeMap<String, Client>,
    /// How long a session that has replaced another one cannot be replaced, once two agents are assumed. It
    /// is the same for both: which one is the impostor is not known.
    stay: Duration,
}

#[derive(Debug)]
struct Client {
    replacements: u64,
    first: Instant,
    last: Instant,
    warned: Option<Instant>,
}

/// A warning about a client's replaced sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// Replacements.
    pub(super) replacements: u64,
    /// The time since the first of them.
    pub(super) within: Duration,
}

impl Warning {
    /// Whether two agents with one key are assumed.
    pub(super) const fn is_key_conflict(self) -> bool {
        self.replacements >= FIRST
    }
}

/// The remote addresses of a new session and of the one that it replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) new: Option<SocketAddr>,
    pub(super) old: Option<SocketAddr>,
}

impl Addresses {
    /// Whether the hosts differ. Ports differ with each connection.
    pub(super) fn differ(self) -> bool {
        let [new, old] = [self.new, self.old].map(|at| at.map(|at| at.ip().to_canonical()));
        new != old
    }
}

impl Takeovers {
    pub(super) fn new(stay: Duration) -> Self {
        Self { clients: BTreeMap::new(), stay }
    }

    /// Counts a replacement. Returns a warning if one is due.
    pub(super) fn take(&mut self, client: &str, addresses: Addresses) -> Option<Warning> {
        let now = Instant::now();
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(client) {
            self.forget_oldest(now);
        }
        let fresh = || Client { replacements: 0, first: now, last: now, warned: None };
        let client = self.clients.entry(client.to_string()).or_insert_with(fresh);
        if !client.is_recent(now) {
            *client = fresh();
        }
        client.replacements += 1;
        client.last = now;
        let warning = Warning { replacements: client.replacements, within: now - client.first };
        let may_warn = client.warned.is_none_or(|warned| now - warned >= WARNING_INTERVAL);
        if !may_warn || !(warning.is_key_conflict() || addresses.differ()) {
            return None;
        }
        client.warned = Some(now);
        Some(warning)
    }

    /// Removes clients until there is capacity for one more.
    fn forget_oldest(&mut self, now: Instant) {
        self.clients.retain(|_, client| client.is_recent(now));
        if self.clients.len() >= CLIENTS {
            let oldest = self.clients.iter().min_by_key(|(_, client)| client.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.clients.remove(&oldest);
            }
        }
        debug_assert!(self.clients.len() < CLIENTS, "there is capacity for one more client");
    }

    /// How much longer the session of `client` cannot be replaced, if two agents are assumed.
    pub(super) fn protected_for(&self, client: &str) -> Option<Duration> {
        let (now, client) = (Instant::now(), self.clients.get(client)?);
        let is_key_conflict = client.replacements >= FIRST && client.is_recent(now);
        (client.last + self.stay)
            .checked_duration_since(now)
            .filter(|left| is_key_conflict && !left.is_zero())
    }
}

impl Client {
    fn is_recent(&self, now: Instant) -> bool {
        now - self.last <= WITHIN
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use watertight_core::registry::{Registry, RegistryLimits};

    use super::*;

    #[tokio::test]
    async fn only_the_oldest_of_too_many_are_killed_and_ended_ones_do_not_count() {
        let all = Tasks::new();
        let (mut superseded, mut registry) =
            (Superseded::default(), Registry::new(RegistryLimits::default()));
        let mut enter = |superseded: &mut Superseded, client: &str| {
            let (tasks, session) = (all.child(), registry.insert_agent(client).unwrap().session);
            tasks.spawn(std::future::pending());
            superseded.add(SessionKind::Agent, client, session, tasks.clone());
            (session, tasks)
        };
        let other = enter(&mut superseded, "other");
        let sessions: Vec<_> =
            (0..MAX_OLDER + 3).map(|_| enter(&mut superseded, "edge-7")).collect();
        for (_, killed) in &sessions[..2] {
            killed.wind_down(Duration::MAX).await;
        }
        assert_eq!(all.live(), 1 + MAX_OLDER + 1);

        superseded.remove(SessionKind::Agent, "edge-7", sessions[4].0);
        let newest = enter(&mut superseded, "edge-7");
        tokio::task::yield_now().await;
        assert_eq!(all.live(), 1 + MAX_OLDER + 2, "it is within the limit");

        for (session, _) in sessions.iter().chain([&newest]) {
            superseded.remove(SessionKind::Agent, "edge-7", *session);
        }
        superseded.remove(SessionKind::Agent, "other", other.0);
        assert!(superseded.clients.is_empty());
    }

    const STAY: Duration = Duration::from_secs(30);

    const SAME: Addresses = Addresses { new: None, old: None };

    fn addresses(new: &str, old: &str) -> Addresses {
        let [new, old] = [new, old].map(|at| Some(at.parse().unwrap()));
        Addresses { new, old }
    }

    #[tokio::test(start_paused = true)]
    async fn a_replacement_from_another_host_is_warned_of_at_once() {
        let mut takeovers = Takeovers::new(STAY);
        let same = addresses("192.0.2.1:1", "[::ffff:192.0.2.1]:2");
        assert_eq!(takeovers.take("edge-7", same), None);
        let elsewhere = addresses("192.0.2.1:1", "192.0.2.2:1");
        let warning = takeovers.take("lab", elsewhere).unwrap();
        assert!(!warning.is_key_conflict());
        assert!(takeovers.take("lab", elsewhere).is_none(), "once a minute");
        let unix = Addresses { new: None, ..elsewhere };
        assert!(takeovers.take("host", unix).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_has_replaced_another_stays_for_a_while() {
        let mut takeovers = Takeovers::new(STAY);
        assert_eq!(takeovers.protected_for("edge-7"), None);
        takeovers.take("edge-7", SAME);
        assert_eq!(takeovers.protected_for("edge-7"), None, "an agent that came back");
        for _ in 0..3 {
            takeovers.take("edge-7", SAME);
            assert_eq!(takeovers.protected_for("edge-7"), Some(STAY));
            advance(STAY - Duration::from_secs(1)).await;
            assert_eq!(takeovers.protected_for("edge-7"), Some(Duration::from_secs(1)));
            advance(Duration::from_secs(1)).await;
            assert_eq!(takeovers.protected_for("edge-7"), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_replacements_are_warned_of_once_a_minute() {
        let mut takeovers = Takeovers::new(STAY);
        let mut warnings = Vec::new();
        for _ in 0..20 {
            warnings.extend(takeovers.take("edge-7", SAME));
            advance(Duration::from_secs(10)).await;
        }
        let seconds = |warning: &Warning| (warning.replacements, warning.within.as_secs());
        let given: Vec<_> = warnings.iter().map(seconds).collect();
        assert_eq!(given, [(2, 10), (8, 70), (14, 130), (20, 190)]);
        assert_eq!(takeovers.take("another", SAME), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_now_and_then_is_no_cause_for_a_warning() {
        let mut takeovers = Takeovers::new(STAY);
        for _ in 0..10 {
            assert_eq!(takeovers.take("edge-7", SAME), None);
            advance(WITHIN + Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clients_that_are_watched_have_a_bound() {
        let mut takeovers = Takeovers::new(STAY);
        for number in 0..CLIENTS + 10 {
            assert_eq!(takeovers.take(&number.to_string(), SAME), None);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(takeovers.clients.len(), CLIENTS);
        // The newest clients are known.
        assert!(takeovers.take(&(CLIENTS + 9).to_string(), SAME).is_some());
        assert!(!takeovers.clients.contains_key("9") && takeovers.clients.contains_key("10"));
        advance(WITHIN + Duration::from_secs(1)).await;
        takeovers.take("late", SAME);
        assert_eq!(takeovers.clients.len(), 1);
    }
}
