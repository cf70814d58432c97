//! The sessions of a host, counted from the events that its servers and agents report.

use std::collections::BTreeMap;
use std::time::Duration;

use watertight::peering::PeerDirection;
use watertight::{AgentStatus, SessionEnd, SessionKey};

/// The remote of a session. Of two sessions with the same one, the newer supersedes the older.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remote {
    Client(String),
    /// A peer that connected, or was connected to.
    Peer {
        id: String,
        incoming: bool,
    },
}

/// The sessions of a server.
#[derive(Debug, Default)]
pub(super) struct ServerSessions {
    open: Vec<Open>,
    begun: BTreeMap<Remote, u64>,
    ended: u64,
}

/// A session whose end was not reported.
#[derive(Debug)]
struct Open {
    session: SessionKey,
    remote: Remote,
    /// Since when it is superseded. It is in no table any more, but runs to its end.
    superseded: Option<Duration>,
}

/// The sessions of the agents of a host.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AgentSessions {
    pub(super) begun: u64,
    pub(super) ended: u64,
    /// Ends with a reason.
    pub(super) reasons: u64,
    /// Attempts that failed, as far as the agent knows, and agents that were stopped in one.
    pub(super) failed: u64,
    /// When the last of them ended, or the agent started.
    down_since: Option<Duration>,
}

impl Remote {
    pub(super) fn peer(id: &str, direction: PeerDirection) -> Self {
        Self::Peer { id: id.to_string(), incoming: direction == PeerDirection::Incoming }
    }
}

impl ServerSessions {
    pub(super) fn began(
        &mut self,
        now: Duration,
        session: SessionKey,
        remote: Remote,
    ) -> Result<(), String> {
        if self.open.iter().any(|open| open.session == session) {
            return Err(format!("session {session} began twice"));
        }
        for older in self.open.iter_mut().filter(|older| older.remote == remote) {
            older.superseded.get_or_insert(now);
        }
        *self.begun.entry(remote.clone()).or_default() += 1;
        self.open.push(Open { session, remote, superseded: None });
        Ok(())
    }

    pub(super) fn ended(&mut self, session: SessionKey) -> Result<(), String> {
        self.ended += 1;
        match self.open.iter().position(|open| open.session == session) {
            Some(index) => drop(self.open.swap_remove(index)),
            None => return Err(format!("session {session} ended twice, or never began")),
        }
        Ok(())
    }

    /// Sessions that have begun with this remote.
    pub(super) fn begun(&self, remote: &Remote) -> u64 {
        self.begun.get(remote).copied().unwrap_or(0)
    }

    /// Ends that were reported.
    pub(super) const fn ends(&self) -> u64 {
        self.ended
    }

    /// Sessions that are in no table and have not ended.
    pub(super) fn superseded(&self) -> u64 {
        self.open.iter().filter(|open| open.superseded.is_some()).count() as u64
    }

    pub(super) fn is_superseded(&self, session: SessionKey) -> bool {
        self.open.iter().any(|open| open.session == session && open.superseded.is_some())
    }

    /// A session that was superseded before this moment and has not ended.
    pub(super) fn superseded_before(&self, moment: Duration) -> Option<SessionKey> {
        let late = |open: &&Open| open.superseded.is_some_and(|since| since < moment);
        self.open.iter().find(late).map(|open| open.session)
    }
}

impl AgentSessions {
    pub(super) fn note(&mut self, at: Duration, was_up: bool, now: &AgentStatus) {
        let is_up = matches!(now, AgentStatus::Connected { .. });
        let has_reason = matches!(now, AgentStatus::Waiting { .. } | AgentStatus::Stopped);
        self.begun += u64::from(is_up);
        self.ended += u64::from(was_up);
        self.reasons += u64::from(was_up && has_reason);
        self.failed += u64::from(!was_up && has_reason);
        let is_down = !is_up && !matches!(now, AgentStatus::Stopped);
        self.down_since = is_down.then(|| self.down_since.unwrap_or(at));
    }

    /// Since when there is no session that there should be.
    pub(super) const fn down_since(&self) -> Option<Duration> {
        self.down_since
    }
}

/// The fault that a session found with its remote.
pub(super) fn fault(end: &SessionEnd) -> Option<String> {
    matches!(end, SessionEnd::ProtocolViolation(_)).then(|| end.to_string())
}

#[cfg(test)]
mod tests {
    use watertight::proto::registry::Registry;
    use watertight::{Dialect, WaitReason};

    use super::*;

    const NOW: Duration = Duration::from_millis(100);

    fn client() -> Remote {
        Remote::Client("agent0".into())
    }

    #[test]
    fn the_end_of_a_superseded_session_is_awaited() {
        let mut registry = Registry::new(Default::default());
        let [old, new] = [(); 2].map(|()| registry.insert_agent("agent0").unwrap().session);
        let mut sessions = ServerSessions::default();
        sessions.began(Duration::ZERO, old, client()).unwrap();
        sessions.began(NOW, new, client()).unwrap();
        assert_eq!((sessions.superseded(), sessions.begun(&client())), (1, 2));
        assert_eq!(sessions.superseded_before(NOW), None);
        assert_eq!(sessions.superseded_before(NOW * 2), Some(old));
        sessions.ended(old).unwrap();
        assert_eq!((sessions.superseded(), sessions.ends()), (0, 1));
        assert_eq!(sessions.superseded_before(NOW * 2), None);
    }

    #[test]
    fn a_session_begins_and_ends_once() {
        let session = Registry::new(Default::default()).insert_agent("agent0").unwrap().session;
        let mut sessions = ServerSessions::default();
        sessions.began(NOW, session, client()).unwrap();
        assert!(sessions.began(NOW, session, client()).is_err());
        sessions.ended(session).unwrap();
        assert!(sessions.ended(session).is_err());
    }

    #[test]
    fn each_session_begins_and_ends_with_a_reason() {
        let up = AgentStatus::Connected { dialect: Dialect::Extended };
        let reason = WaitReason::Replaced;
        let waits = AgentStatus::Waiting { retry_in: Duration::ZERO, reason };
        let mut sessions = AgentSessions::default();
        for (was_up, now) in [(false, &up), (true, &waits), (false, &up), (true, &up)] {
            sessions.note(Duration::ZERO, was_up, now);
        }
        let AgentSessions { begun, ended, reasons, failed, .. } = sessions;
        assert_eq!((begun, ended, reasons, failed), (3, 2, 1, 0));
        sessions.note(Duration::ZERO, false, &waits);
        assert_eq!(sessions.failed, 1);
    }
}
