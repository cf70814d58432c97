//! A client or peer has one session, but its older ones need a while to go.

use std::collections::{BTreeMap, VecDeque};

use watertight_core::registry::{SessionKey, SessionKind};

use crate::tasks::Tasks;

/// How many replaced or ended sessions of one client may take their time. A client that comes again
/// before its old session has gone is usual after a broken network; one that does so all the time
/// would gather sockets and tasks here.
const LEAVING: usize = 4;

/// The sessions of each client, and of each peer that connects, of which some task is still there, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    clients: BTreeMap<(SessionKind, String), VecDeque<(SessionKey, Tasks)>>,
}

impl Crowd {
    /// Takes in a client's new session. Of the older ones, those that are too many are killed.
    pub(super) fn enter(
        &mut self,
        kind: SessionKind,
        client: &str,
        session: SessionKey,
        tasks: Tasks,
    ) {
        let sessions = self.clients.entry((kind, client.to_string())).or_default();
        sessions.push_back((session, tasks));
        while sessions.len() > 1 + LEAVING {
            let Some((_, oldest)) = sessions.pop_front() else { return };
            oldest.kill();
        }
    }

    /// Sessions of which some task is there.
    #[cfg(feature = "simulation")]
    pub(super) fn sessions(&self) -> usize {
        self.clients.values().map(VecDeque::len).sum()
    }

    /// The last task of a session is gone.
    pub(super) fn leave(&mut self, kind: SessionKind, client: &str, session: SessionKey) {
        let client = (kind, client.to_string());
        let Some(sessions) = self.clients.get_mut(&client) else { return };
        sessions.retain(|(of, _)| *of != session);
        if sessions.is_empty() {
            self.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use watertight_core::registry::{Registry, RegistryLimits};

    use super::*;

    #[tokio::test]
    async fn only_the_oldest_of_too_many_are_killed_and_those_that_leave_make_room() {
        let all = Tasks::new();
        let (mut crowd, mut registry) =
            (Crowd::default(), Registry::new(RegistryLimits::default()));
        let mut enter = |crowd: &mut Crowd, client: &str| {
            let (tasks, session) = (all.child(), registry.insert_agent(client).unwrap().session);
            tasks.spawn(std::future::pending());
            crowd.enter(SessionKind::Agent, client, session, tasks.clone());
            (session, tasks)
        };
        let other = enter(&mut crowd, "other");
        let sessions: Vec<_> = (0..LEAVING + 3).map(|_| enter(&mut crowd, "edge-7")).collect();
        for (_, killed) in &sessions[..2] {
            killed.wind_down(Duration::MAX).await;
        }
        assert_eq!(all.live(), 1 + LEAVING + 1);

        crowd.leave(SessionKind::Agent, "edge-7", sessions[4].0);
        let newest = enter(&mut crowd, "edge-7");
        tokio::task::yield_now().await;
        assert_eq!(all.live(), 1 + LEAVING + 2, "there was room for it");

        for (session, _) in sessions.iter().chain([&newest]) {
            crowd.leave(SessionKind::Agent, "edge-7", *session);
        }
        crowd.leave(SessionKind::Agent, "other", other.0);
        assert!(crowd.clients.is_empty());
    }
}
