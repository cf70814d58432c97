//! What agents tell of their sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use watertight::{AgentStatus, ConnectError, WaitReason};

use super::application::key;
use super::books::blame;
use super::quiet::agents;
use super::roll::With;
use super::stage::Stage;
use crate::schedule::{Action, Host};
use crate::situation::Situation;

/// What the agents of a host have told of their sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) begun: u64,
    pub(super) ended: u64,
    /// Ends with a reason.
    pub(super) reasons: u64,
    /// Attempts that came to nothing, as far as the agent knows, and agents that were stopped in one.
    failed: u64,
    /// When the last of them ended, or the agent started.
    down_since: Option<Duration>,
}

impl Account {
    fn note(&mut self, at: Duration, was_up: bool, now: &AgentStatus) {
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

/// Notes what becomes of an agent, until it is stopped.
pub(super) async fn watch_over(
    stage: Arc<Stage>,
    host: Host,
    mut status: watch::Receiver<AgentStatus>,
) {
    let (mut is_up, mut was_up) = (false, false);
    loop {
        let now = status.borrow_and_update().clone();
        let at = stage.now();
        stage.at(host, |desk| desk.account.note(at, is_up, &now));
        is_up = matches!(now, AgentStatus::Connected { .. });
        stage.note_if(is_up && is_home_crowded(&stage, host), Situation::AdmittedInCrowd);
        stage.note_if(is_up && was_up, Situation::Reconnected);
        was_up |= is_up;
        match &now {
            AgentStatus::Waiting { reason, .. } => note_reason(&stage, host, reason),
            AgentStatus::Stopped => return,
            _ => {}
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn is_home_crowded(stage: &Stage, host: Host) -> bool {
    let Host::Agent(agent) = host else { return false };
    stage.agent(agent).is_some_and(|agent| stage.is_crowded(agent.home))
}

fn note_reason(stage: &Stage, host: Host, reason: &WaitReason) {
    stage.tale(host, || format!("is not connected: {reason}"));
    match reason {
        WaitReason::Timeout(_) => stage.note(Situation::HandshakeTimedOut),
        WaitReason::Ended(end) => {
            if let Some(situation) = Situation::of_session(end) {
                stage.note(situation);
            }
            let blamed = blame(end).filter(|_| !stage.has_impostors());
            let untold = stage.untold(host, end);
            stage.at(host, |desk| {
                desk.blamed = desk.blamed.take().or(blamed);
                desk.untold = desk.untold.take().or(untold);
            });
        }
        WaitReason::Connect(error) => {
            // Its server takes it, or is not there.
            let wrong =
                matches!(**error, ConnectError::NotATunnel(_) | ConnectError::NotAHeader(_));
            let blamed = (wrong && !stage.has_impostors()).then(|| error.to_string());
            stage.at(host, |desk| desk.blamed = desk.blamed.take().or(blamed));
        }
        _ => {}
    }
}

/// An agent and its server that do not agree how many sessions they have had. Books that a process
/// took with it say nothing, and
/// neither do those of sessions with who was in the server's place.
pub(super) fn out_of_step(stage: &Stage) -> Option<String> {
    let takes_books = |action: &Action| {
        use Action::{Bounce, Crash, Impersonate, Restart};
        matches!(action, Restart { .. } | Crash { .. } | Bounce { .. } | Impersonate { .. })
    };
    if stage.schedule.steps.iter().any(|step| takes_books(&step.action)) {
        return None;
    }
    agents(stage).find_map(|agent| {
        let host = Host::Agent(agent);
        let account = stage.at(host, |desk| desk.account)?;
        let home = Host::Server(stage.agent(agent)?.home);
        let with = With::Client(key(agent));
        let theirs = stage.at(home, |desk| Some(desk.server.as_ref()?.roll.begun(&with)))??;
        let ours = account.begun;
        // What the agent gave up may have begun at the server.
        let agree = (ours..=ours + account.failed).contains(&theirs);
        (!agree).then(|| format!("{host} has had {ours} sessions, and {theirs} at {home}"))
    })
}

#[cfg(test)]
mod tests {
    use watertight::Dialect;

    use super::*;

    #[test]
    fn each_session_begins_and_ends_with_a_reason() {
        let up = AgentStatus::Connected { dialect: Dialect::Extended };
        let reason = WaitReason::Replaced;
        let waits = AgentStatus::Waiting { retry_in: Duration::ZERO, reason };
        let mut account = Account::default();
        for (was_up, now) in [(false, &up), (true, &waits), (false, &up), (true, &up)] {
            account.note(Duration::ZERO, was_up, now);
        }
        let Account { begun, ended, reasons, failed, .. } = account;
        assert_eq!((begun, ended, reasons, failed), (3, 2, 1, 0));
        account.note(Duration::ZERO, false, &waits);
        assert_eq!(account.failed, 1);
    }
}
