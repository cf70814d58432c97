//! Clients that more than one peer says it has.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::log_limit::{shortened, some};
use crate::server::Inner;

/// How long two peers may announce one client before the log says so: twice as long as a server needs to
/// notice that a client is gone.
const LONG: Duration = Duration::from_secs(60);

/// Clients that are remembered. More of them at once are one fault, and a few tell of it.
const MOST: usize = 64;

/// Since when a client is announced by more than one peer, the longest first.
#[derive(Debug, Default)]
pub(in crate::server) struct Contests(VecDeque<(Instant, String)>);

impl Contests {
    /// Another peer has announced a client.
    pub(super) fn begin(&mut self, client: &str, now: Instant) {
        if self.0.len() < MOST && !self.0.iter().any(|(_, known)| known == client) {
            self.0.push_back((now, client.to_string()));
        }
    }

    /// A client that has been announced by more than one peer for long; it comes again after as long.
    /// `peers` are those that announce one now.
    fn due(
        &mut self,
        now: Instant,
        peers: impl Fn(&str) -> Vec<String>,
    ) -> Option<(String, Vec<String>)> {
        let (since, client) = self.0.front()?;
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

impl Inner {
    /// Called whenever something happens by which it would show.
    pub(in crate::server) fn warn_of_contest(&self) {
        let due = self.sessions().contest();
        let Some((client, peers)) = due else { return };
        if let Some(left_out) = self.takeovers.pass().map(some) {
            let (client, first) = (&*shortened(&client), peers.first());
            warn!(
                client,
                ?peers,
                first,
                left_out,
                "more than one peer says that it has this client, for more than a minute: the first of \
                 them is dialled; if the client is not connected to another one, do not trust that one"
            );
        }
    }
}

impl crate::server::sessions::Sessions {
    fn contest(&mut self) -> Option<(String, Vec<String>)> {
        let mut contests = std::mem::take(&mut self.contests);
        let due = contests.due(Instant::now(), |client| self.peers_of(client));
        self.contests = contests;
        due
    }
}

#[cfg(test)]
mod tests {
    use watertight_core::wire::{ClientRoute, Dialect};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_contest_that_lasts_comes_again_and_one_that_is_over_does_not() {
        let mut contests = Contests::default();
        let both = |_: &str| vec!["b".to_string(), "c".to_string()];
        let one = |_: &str| vec!["b".to_string()];
        contests.begin("edge", Instant::now());
        contests.begin("edge", Instant::now());
        assert_eq!(contests.due(Instant::now(), both), None);
        tokio::time::advance(LONG).await;
        assert_eq!(contests.due(Instant::now(), both).unwrap().0, "edge");
        assert_eq!(contests.due(Instant::now(), both), None);
        tokio::time::advance(LONG).await;
        assert_eq!(contests.due(Instant::now(), one), None);
        assert!(contests.0.is_empty());
    }

    /// Each line of a log.
    struct Lines(std::sync::mpsc::Sender<String>);

    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.send(String::from_utf8_lossy(line).into_owned()).ok();
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_names_those_who_say_that_they_have_one_client_for_long() {
        let (sender, lines) = std::sync::mpsc::channel();
        let log = tracing_subscriber::fmt().with_ansi(false);
        let log = log.with_writer(move || Lines(sender.clone())).finish();
        let _logging = tracing::subscriber::set_default(log);
        let server = crate::Server::builder(|_| async { Ok(String::new()) }).build();
        for (peer, session_key) in [("b", 1), ("c", 2)] {
            let mut sessions = server.inner.sessions();
            let session =
                sessions.registry.insert_incoming_peer(peer, Dialect::Base).unwrap().session;
            let route = ClientRoute { client_key: "edge".to_string(), session_key };
            sessions.peer_added_client(session, route).unwrap();
        }
        server.inner.warn_of_contest();
        assert_eq!(lines.try_iter().count(), 0);
        tokio::time::advance(LONG).await;
        server.inner.warn_of_contest();
        let said: Vec<_> = lines.try_iter().collect();
        assert_eq!(said.len(), 1, "{said:?}");
        for part in ["WARN", "client=\"edge\"", "peers=[\"b\", \"c\"]", "first=\"b\""] {
            assert!(said[0].contains(part), "{part}: {said:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let mut contests = Contests::default();
        for number in 0..10_000 {
            contests.begin(&number.to_string(), Instant::now());
        }
        assert_eq!(contests.0.len(), MOST);
    }
}
