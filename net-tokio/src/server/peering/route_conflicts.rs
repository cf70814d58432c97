//! Clients that more than one peer announces.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time for which two peers may announce one client before it is logged: twice the time in
/// which a server detects that a client has disconnected.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// Clients that are remembered. More of them at once have one cause, which a few show.
const MOST: usize = 64;

/// Clients that more than one peer announces, with the time of the second announcement, the oldest
/// first.
#[derive(Debug, Default)]
pub(in crate::server) struct RouteConflicts(VecDeque<(Instant, String)>);

impl RouteConflicts {
    /// Another peer has announced a client.
    pub(super) fn begin(&mut self, client: &str, now: Instant) {
        if self.0.len() < MOST && !self.0.iter().any(|(_, known)| known == client) {
            self.0.push_back((now, client.to_string()));
        }
    }

    /// A client that more than one peer has announced for [`LONG`], and these peers; the same
    /// client is due again after as long. `peers` returns the peers that announce a client now.
    pub(super) fn due(
        &mut self,
        now: Instant,
        peers: impl Fn(&str) -> Vec<String>,
    ) -> Option<(String, Vec<String>)> {
        let (since, client) = self.0.front()?;
        debug_assert!(self.0.back().is_some_and(|(last, _)| since <= last), "the oldest is first");
        if now - *since < LONG {
            return None;
        }
        let peers = peers(client);
        let (_, client) = self.0.pop_front()?;
        if peers.len() < 2 {
            return None;
        }
        self.0.push_back((now, client.clone()));
        Some((client, peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lasting_conflict_is_due_again_and_an_ended_one_is_not() {
        let mut route_conflicts = RouteConflicts::default();
        let both = |_: &str| vec!["b".to_string(), "c".to_string()];
        let one = |_: &str| vec!["b".to_string()];
        route_conflicts.begin("edge", Instant::now());
        route_conflicts.begin("edge", Instant::now());
        assert_eq!(route_conflicts.due(Instant::now(), both), None);
        tokio::time::advance(LONG).await;
        assert_eq!(route_conflicts.due(Instant::now(), both).unwrap().0, "edge");
        assert_eq!(route_conflicts.due(Instant::now(), both), None);
        tokio::time::advance(LONG).await;
        assert_eq!(route_conflicts.due(Instant::now(), one), None);
        assert!(route_conflicts.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn conflicts_have_a_bound() {
        let mut route_conflicts = RouteConflicts::default();
        for number in 0..10_000 {
            route_conflicts.begin(&number.to_string(), Instant::now());
        }
        assert_eq!(route_conflicts.0.len(), MOST);
    }
}
