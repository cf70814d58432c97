//! Sessions of one client that replace each other again and again: two machines with one key, as a
//! copied disk image makes them. Each cuts the connections of the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// How long after a session was replaced the next one counts as a turn. Agents that take turns
/// wait for half a minute at most.
const WITHIN: Duration = Duration::from_secs(600);

/// How often a session is replaced before that is worth a warning. A client that comes back before
/// its old session is known to be dead replaces it, too.
const FIRST: u64 = 2;

/// Between two warnings about one client.
const REST: Duration = Duration::from_secs(60);

/// Clients that are watched at once.
const CLIENTS: usize = 4096;

/// The clients whose sessions were replaced lately.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<String, Client>);

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

/// Where the new session and the one that it replaced come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) new: Option<SocketAddr>,
    pub(super) old: Option<SocketAddr>,
}

impl Turns {
    /// A session of `client` has replaced another one; whether to warn of it.
    pub(super) fn take(&mut self, client: &str) -> Option<Warning> {
        let now = Instant::now();
        let is_recent = |client: &Client| now - client.last <= WITHIN;
        if self.0.len() >= CLIENTS && !self.0.contains_key(client) {
            self.0.retain(|_, client| is_recent(client));
            if self.0.len() >= CLIENTS {
                return None;
            }
        }
        let fresh = || Client { turns: 0, first: now, last: now, warned: None };
        let client = self.0.entry(client.to_string()).or_insert_with(fresh);
        if !is_recent(client) {
            *client = fresh();
        }
        client.turns += 1;
        client.last = now;
        let may_warn = client.warned.is_none_or(|warned| now - warned >= REST);
        if client.turns < FIRST || !may_warn {
            return None;
        }
        client.warned = Some(now);
        Some(Warning { turns: client.turns, within: now - client.first })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_again_and_again_is_warned_of_once_a_minute() {
        let mut turns = Turns::default();
        let mut warnings = Vec::new();
        for _ in 0..20 {
            warnings.extend(turns.take("edge-7"));
            advance(Duration::from_secs(10)).await;
        }
        let seconds = |warning: &Warning| (warning.turns, warning.within.as_secs());
        let told: Vec<_> = warnings.iter().map(seconds).collect();
        assert_eq!(told, [(2, 10), (8, 70), (14, 130), (20, 190)]);
        assert_eq!(turns.take("another"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_now_and_then_is_no_cause_for_a_warning() {
        let mut turns = Turns::default();
        for _ in 0..10 {
            assert_eq!(turns.take("edge-7"), None);
            advance(WITHIN + Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clients_that_are_watched_have_a_bound() {
        let mut turns = Turns::default();
        for number in 0..CLIENTS + 10 {
            assert_eq!(turns.take(&number.to_string()), None);
        }
        assert_eq!(turns.0.len(), CLIENTS);
        assert!(turns.take("0").is_some());
        advance(WITHIN + Duration::from_secs(1)).await;
        turns.take("late");
        assert_eq!(turns.0.len(), 1);
    }
}
