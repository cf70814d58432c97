//! Sessions of one client that replace each other again and again: two machines with one key, as a
//! copied disk image makes them. Each cuts the connections of the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How long after a session was replaced the next one counts as a turn. Agents that take turns
/// wait for half a minute at most.
const WITHIN: Duration = Duration::from_secs(600);

/// How often a session is replaced before it is clear that two agents take turns. A client that comes
/// back before its old session is known to be dead replaces it, too.
const FIRST: u64 = 2;

/// Between two warnings about one client.
const REST: Duration = Duration::from_secs(60);

/// Clients that are watched at once.
const CLIENTS: usize = 4096;

/// The clients whose sessions were replaced lately.
#[derive(Debug)]
pub(super) struct Turns {
    clients: BTreeMap<String, Client>,
    /// How long a session stays that has taken over from another one, once two agents take turns. It is
    /// the same for both, whoever of the two is the impostor and however often it tries.
    stay: Duration,
}

#[derive(Debug)]
struct Client {
    turns: u64,
    first: Instant,
    last: Instant,
    warned: Option<Instant>,
}

/// What a warning says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// How often a session was replaced.
    pub(super) turns: u64,
    /// In which time.
    pub(super) within: Duration,
}

impl Warning {
    /// Whether two agents take turns.
    pub(super) const fn is_contest(self) -> bool {
        self.turns >= FIRST
    }
}

/// Where the new session and the one that it replaced come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) new: Option<SocketAddr>,
    pub(super) old: Option<SocketAddr>,
}

impl Addresses {
    /// Whether they are of two machines, as far as addresses tell.
    pub(super) fn differ(self) -> bool {
        let [new, old] = [self.new, self.old].map(|at| at.map(|at| at.ip().to_canonical()));
        new != old
    }
}

impl Turns {
    pub(super) fn new(stay: Duration) -> Self {
        Self { clients: BTreeMap::new(), stay }
    }

    /// A session of `client` has replaced another one; whether to warn of it.
    pub(super) fn take(&mut self, client: &str, addresses: Addresses) -> Option<Warning> {
        let now = Instant::now();
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(client) {
            self.forget_oldest(now);
        }
        let fresh = || Client { turns: 0, first: now, last: now, warned: None };
        let client = self.clients.entry(client.to_string()).or_insert_with(fresh);
        if !client.is_recent(now) {
            *client = fresh();
        }
        client.turns += 1;
        client.last = now;
        let warning = Warning { turns: client.turns, within: now - client.first };
        let may_warn = client.warned.is_none_or(|warned| now - warned >= REST);
        if !may_warn || !(warning.is_contest() || addresses.differ()) {
            return None;
        }
        client.warned = Some(now);
        Some(warning)
    }

    /// Makes room for a client.
    fn forget_oldest(&mut self, now: Instant) {
        self.clients.retain(|_, client| client.is_recent(now));
        if self.clients.len() >= CLIENTS {
            let oldest = self.clients.iter().min_by_key(|(_, client)| client.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.clients.remove(&oldest);
            }
        }
    }

    /// How much longer the session of `client` stays, if two agents take turns and it is alive.
    pub(super) fn stays(&self, client: &str) -> Option<Duration> {
        let (now, client) = (Instant::now(), self.clients.get(client)?);
        let is_contest = client.turns >= FIRST && client.is_recent(now);
        (client.last + self.stay)
            .checked_duration_since(now)
            .filter(|left| is_contest && !left.is_zero())
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

    use super::*;

    const STAY: Duration = Duration::from_secs(30);

    const SAME: Addresses = Addresses { new: None, old: None };

    fn addresses(new: &str, old: &str) -> Addresses {
        let [new, old] = [new, old].map(|at| Some(at.parse().unwrap()));
        Addresses { new, old }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_comes_from_elsewhere_is_warned_of_at_once() {
        let mut turns = Turns::new(STAY);
        let same = addresses("192.0.2.1:1", "[::ffff:192.0.2.1]:2");
        assert_eq!(turns.take("edge-7", same), None);
        let elsewhere = addresses("192.0.2.1:1", "192.0.2.2:1");
        let warning = turns.take("lab", elsewhere).unwrap();
        assert!(!warning.is_contest());
        assert!(turns.take("lab", elsewhere).is_none(), "once a minute");
        let unix = Addresses { new: None, ..elsewhere };
        assert!(turns.take("host", unix).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_of_two_has_taken_over_stays_for_a_while() {
        let mut turns = Turns::new(STAY);
        assert_eq!(turns.stays("edge-7"), None);
        turns.take("edge-7", SAME);
        assert_eq!(turns.stays("edge-7"), None, "an agent that came back");
        for _ in 0..3 {
            turns.take("edge-7", SAME);
            assert_eq!(turns.stays("edge-7"), Some(STAY));
            advance(STAY - Duration::from_secs(1)).await;
            assert_eq!(turns.stays("edge-7"), Some(Duration::from_secs(1)));
            advance(Duration::from_secs(1)).await;
            assert_eq!(turns.stays("edge-7"), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_again_and_again_is_warned_of_once_a_minute() {
        let mut turns = Turns::new(STAY);
        let mut warnings = Vec::new();
        for _ in 0..20 {
            warnings.extend(turns.take("edge-7", SAME));
            advance(Duration::from_secs(10)).await;
        }
        let seconds = |warning: &Warning| (warning.turns, warning.within.as_secs());
        let told: Vec<_> = warnings.iter().map(seconds).collect();
        assert_eq!(told, [(2, 10), (8, 70), (14, 130), (20, 190)]);
        assert_eq!(turns.take("another", SAME), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_now_and_then_is_no_cause_for_a_warning() {
        let mut turns = Turns::new(STAY);
        for _ in 0..10 {
            assert_eq!(turns.take("edge-7", SAME), None);
            advance(WITHIN + Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clients_that_are_watched_have_a_bound() {
        let mut turns = Turns::new(STAY);
        for number in 0..CLIENTS + 10 {
            assert_eq!(turns.take(&number.to_string(), SAME), None);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(turns.clients.len(), CLIENTS);
        // Those that were there last are known, whoever fills the table.
        assert!(turns.take(&(CLIENTS + 9).to_string(), SAME).is_some());
        assert!(!turns.clients.contains_key("9") && turns.clients.contains_key("10"));
        advance(WITHIN + Duration::from_secs(1)).await;
        turns.take("late", SAME);
        assert_eq!(turns.clients.len(), 1);
    }
}
