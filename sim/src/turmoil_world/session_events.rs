//! The events of sessions: events of servers, and the status of agents.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use watertight::{AgentStatus, ConnectError, ServerEvent, SessionEnd, WaitReason};

use super::admission::is_full_of_handshakes;
use super::environment::Environment;
use super::host_state::ServerState;
use super::plan::{Deviation, UNKNOWN, client_key};
use super::sessions::{Remote, fault};
use super::stream::Stream;
use crate::schedule::{Action, Host, millis};
use crate::situation::Situation;

/// Processes the events that a server has reported. Returns the fault that it found with an honest remote.
pub(super) fn process(env: &Environment, host: Host, server: &mut ServerState) -> Option<String> {
    let mut blamed = None;
    loop {
        let processed = match server.events.try_next() {
            Ok(Some(event)) => process_one(env, server, event, &mut blamed),
            Ok(None) => return blamed,
            Err(lagged) => Err(lagged.to_string()),
        };
        if let Err(what) = processed {
            env.recorder.contradict(format!("{host}: {what}"));
        }
    }
}

fn process_one(
    env: &Environment,
    server: &mut ServerState,
    event: ServerEvent,
    blamed: &mut Option<String>,
) -> Result<(), String> {
    let (sessions, now) = (&mut server.sessions, env.recorder.now());
    match event {
        ServerEvent::Connected { key, session, .. } => {
            if key == UNKNOWN {
                env.remotes().intrude("an unauthenticated remote has a session".into());
            }
            sessions.began(now, session, Remote::Client(key))
        }
        ServerEvent::PeerConnected { id, session, direction, .. } => {
            sessions.began(now, session, Remote::peer(&id, direction))
        }
        ServerEvent::Disconnected { session, .. }
            if env.plan.deviation == Deviation::SupersededUnreported
                && sessions.is_superseded(session) =>
        {
            Ok(())
        }
        ServerEvent::Disconnected { key, session, end } => {
            if !matches!(end, SessionEnd::Silent(_) | SessionEnd::Transport(_)) {
                server.logged_in.remove(&key);
            }
            let fault = fault(&end).filter(|_| env.plan.is_honest_client(&key));
            *blamed = blamed.take().or(fault);
            note_end(env, &end);
            sessions.ended(session)
        }
        ServerEvent::PeerDisconnected { session, end, .. } => {
            let fault = fault(&end).filter(|_| !env.plan.has_impostors());
            *blamed = blamed.take().or(fault);
            let passes = |stream: &Stream| stream.is_moving() && env.goes_through_peer(stream);
            env.recorder.note_if(env.any_stream(passes), Situation::PeerLostDuringTransfer);
            note_end(env, &end);
            sessions.ended(session)
        }
        _ => Ok(()),
    }
}

fn note_end(env: &Environment, end: &SessionEnd) {
    if let Some(situation) = Situation::of_session(end) {
        env.recorder.note(situation);
    }
}

/// A session that was superseded so long ago that its end should have been reported.
pub(super) fn overdue(env: &Environment, server: &ServerState) -> Option<String> {
    let moment = env.recorder.now().checked_sub(superseded_within(env))?;
    let session = server.sessions.superseded_before(moment)?;
    Some(format!("the end of session {session}, which was superseded, is never reported"))
}

/// The bound of a superseded session's time: a session that drains has the time that it was given.
fn superseded_within(env: &Environment) -> Duration {
    let given = env.plan.schedule.steps.iter().map(|step| match step.action {
        Action::Drain { within, .. } | Action::Restart { within, .. } => within,
        _ => 0,
    });
    env.plan.to_quiet() + millis(given.max().unwrap_or(0))
}

/// Records the status of an agent, until it is stopped.
pub(super) async fn watch_agent(
    env: Arc<Environment>,
    host: Host,
    mut status: watch::Receiver<AgentStatus>,
) {
    let (mut is_up, mut was_up) = (false, false);
    loop {
        let now = status.borrow_and_update().clone();
        let at = env.recorder.now();
        env.with_host(host, |state| state.sessions.note(at, is_up, &now));
        is_up = matches!(now, AgentStatus::Connected { .. });
        env.recorder.note_if(is_up && is_home_full(&env, host), Situation::AdmittedWhenFull);
        env.recorder.note_if(is_up && was_up, Situation::Reconnected);
        was_up |= is_up;
        match &now {
            AgentStatus::Waiting { reason, .. } => note_reason(&env, host, reason),
            AgentStatus::Stopped => return,
            _ => {}
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn is_home_full(env: &Environment, host: Host) -> bool {
    let Host::Agent(agent) = host else { return false };
    env.plan.agent(agent).is_some_and(|agent| is_full_of_handshakes(env, agent.home))
}

fn note_reason(env: &Environment, host: Host, reason: &WaitReason) {
    env.recorder.trace_host(host, || format!("is not connected: {reason}"));
    match reason {
        WaitReason::Timeout(_) => env.recorder.note(Situation::HandshakeTimedOut),
        WaitReason::Ended(end) => {
            note_end(env, end);
            let blamed = fault(end).filter(|_| !env.plan.has_impostors());
            let without_reason = without_reason(env, host, end);
            env.with_host(host, |state| {
                state.blamed = state.blamed.take().or(blamed);
                state.without_reason = state.without_reason.take().or(without_reason);
            });
        }
        WaitReason::Connect(error) => {
            // Its server takes it, or is not there.
            let wrong =
                matches!(**error, ConnectError::NotATunnel(_) | ConnectError::NotAHeader(_));
            let blamed = (wrong && !env.plan.has_impostors()).then(|| error.to_string());
            env.with_host(host, |state| state.blamed = state.blamed.take().or(blamed));
        }
        _ => {}
    }
}

/// The end of an agent's session, if the server should have sent a close reason and did not: a transport
/// that breaks has none, and a base end cannot send one. The end that a server sees of an agent proves
/// nothing: the agent may have left before it had its session.
fn without_reason(env: &Environment, agent: Host, end: &SessionEnd) -> Option<String> {
    let Host::Agent(number) = agent else { return None };
    let is_missing = matches!(end, SessionEnd::Transport(_));
    (is_missing && env.plan.receives_close_reasons(number)).then(|| end.to_string())
}

/// An agent and its server that do not agree about the count of their sessions. A process that dies or
/// restarts takes its counts with it, and an impostor counts nothing.
pub(super) fn out_of_step(env: &Environment) -> Option<String> {
    let loses_counts = |action: &Action| {
        use Action::{Bounce, Crash, Impersonate, Restart};
        matches!(action, Restart { .. } | Crash { .. } | Bounce { .. } | Impersonate { .. })
    };
    if env.plan.schedule.steps.iter().any(|step| loses_counts(&step.action)) {
        return None;
    }
    env.plan.honest_agents().find_map(|agent| {
        let host = Host::Agent(agent);
        let sessions = env.with_host(host, |state| state.sessions)?;
        let home = env.plan.home(agent)?;
        let remote = Remote::Client(client_key(agent));
        let at_server =
            env.with_host(home, |state| Some(state.server.as_ref()?.sessions.begun(&remote)))??;
        let at_agent = sessions.begun;
        // An attempt that the agent gave up may have begun at the server.
        let agree = (at_agent..=at_agent + sessions.failed).contains(&at_server);
        (!agree).then(|| format!("{host} has had {at_agent} sessions, and {at_server} at {home}"))
    })
}
