//! The ledger of a host's software, and whether the hosts are quiet.

use tokio::runtime::Handle;
use watertight::proto::Ledger;
use watertight::{Agent, AgentStatus, SessionConfig};

use super::environment::Environment;
use super::host_state::HostState;
use super::session_events;
use crate::observed::{Bounds, Counts, HostLedger, Kept};
use crate::schedule::Host;

/// The ledger of the host's present software.
fn of_host(env: &Environment, host: Host, state: &mut HostState) -> HostLedger {
    match host {
        Host::Server(_) => of_server(env, host, state),
        Host::Agent(_) => of_agent(env, host, state),
        // Nothing of the library runs there.
        Host::Unauthenticated => HostLedger::new(host, Bounds::default()),
    }
}

/// The ledger of the present software of a host.
pub(super) fn ledger(env: &Environment, host: Host) -> Option<HostLedger> {
    env.with_host(host, |state| of_host(env, host, state))
}

/// The ledger of software that has ended: every end was reported.
pub(super) fn last_ledger(env: &Environment, host: Host, state: &mut HostState) -> HostLedger {
    let mut ledger = of_host(env, host, state);
    if let Some(server) = &state.server {
        ledger.closes_reported = server.sessions.ends();
    }
    ledger
}

fn of_server(env: &Environment, host: Host, state: &mut HostState) -> HostLedger {
    let Some(server) = &mut state.server else { return HostLedger::new(host, Bounds::default()) };
    state.blamed = state.blamed.take().or_else(|| session_events::process(env, host, server));
    if let Some(overdue) = session_events::overdue(env, server) {
        env.recorder.contradict(format!("{host}: {overdue}"));
    }
    let ledger = server.server.ledger();
    let kept = kept(server.server.kept());
    let (agents, peers) = (ledger.registry.agents, ledger.registry.peers);
    let sessions = Counts {
        added: agents.added + peers.added,
        removed: agents.removed + peers.removed,
        live: agents.live + peers.live,
    };
    let routes = ledger.registry.routes;
    let (sockets, readers) = (env.connections().sockets(host), env.readers(host));
    env.recorder.situations().note_causes(&ledger.connections);
    note_totals(env, host, &mut state.total, &ledger.connections);
    HostLedger {
        sessions,
        sessions_expected: env.plan.expected_sessions(host),
        closes_reported: server.sessions.ends() + server.sessions.superseded(),
        connections: ledger.connections,
        routes: Counts { added: routes.added, removed: routes.removed, live: routes.live },
        sockets,
        tasks: tasks(&state.runtime, ledger.tasks),
        // One keeps each peer's session up.
        tasks_at_rest: sessions.live + u64::from(env.plan.schedule.cast.servers) - 1,
        kept,
        blamed: state.blamed.clone(),
        ..HostLedger::new(
            host,
            Bounds {
                handshakes: env.plan.handshakes_allowed(),
                sockets: explained(&kept, env.plan.schedule.cast.servers),
                ..bounds(&env.plan.server_session(), sockets, readers)
            },
        )
    }
}

fn of_agent(env: &Environment, host: Host, state: &mut HostState) -> HostLedger {
    let mut connections = state.past;
    let (mut own_count, mut streams, mut held) = (0, 0, 0);
    for (_, agent) in &state.agents {
        let ledger = agent.ledger();
        streams += agent.kept().streams as u64;
        held += agent.kept().held as u64;
        connections.absorb(&ledger.connections);
        own_count += ledger.tasks;
    }
    env.recorder.situations().note_causes(&connections);
    note_totals(env, host, &mut state.total, &connections);
    let up = state.agents.iter().filter(|(_, agent)| is_up(agent)).count() as u64;
    let honest = env.plan.is_honest(host) && !state.is_stopped;
    let (sockets, readers) = (env.connections().sockets(host), env.readers(host));
    HostLedger {
        sessions: Counts { added: state.sessions.begun, removed: state.sessions.ended, live: up },
        sessions_expected: u64::from(honest),
        closes_reported: state.sessions.reasons,
        connections,
        sockets,
        tasks: tasks(&state.runtime, own_count),
        // One keeps the session up.
        tasks_at_rest: up + 1,
        kept: Kept { streams, held, ..Kept::default() },
        blamed: state.blamed.clone(),
        without_reason: state.without_reason.clone(),
        ..HostLedger::new(host, bounds(&env.plan.agent_session(), sockets, readers))
    }
}

fn is_up(agent: &Agent) -> bool {
    matches!(*agent.status().borrow(), AgentStatus::Connected { .. })
}

/// The counts of a ledger only grow.
fn note_totals(env: &Environment, host: Host, total: &mut (u64, u64), connections: &Ledger) {
    let now = (connections.added, connections.removed.total());
    if now.0 < total.0 || now.1 < total.1 {
        env.recorder
            .contradict(format!("{host}: {total:?} connections were in the ledger, now {now:?}"));
    }
    *total = now;
}

/// Tasks of the library: its own count, or the runtime's if that is larger. Nothing else is spawned on the
/// runtimes.
fn tasks(runtime: &Option<Handle>, own_count: usize) -> u64 {
    let counted = runtime.as_ref().map_or(0, |runtime| runtime.metrics().num_alive_tasks());
    counted.max(own_count) as u64
}

fn kept(kept: watertight::simulation::Kept) -> Kept {
    Kept {
        streams: kept.streams as u64,
        permits: kept.permits as u64,
        handshakes: kept.handshakes as u64,
        sessions: kept.sessions as u64,
        held: kept.held as u64,
    }
}

/// The bounds of the sessions together that run or end: each has a socket. A connection, and its received
/// bytes, outlives its session until its reader has had them.
fn bounds(config: &SessionConfig, sockets: u64, readers: u64) -> Bounds {
    let limits = &config.limits;
    let connections = limits.max_connections as u64;
    let base = limits.base.unread_budget as u64 + limits.max_message as u64;
    let extended = connections * limits.initial_window + limits.window_budget;
    Bounds {
        connections: sockets * connections + readers,
        bytes_to_send: sockets * limits.send_budget as u64,
        bytes_received: (sockets + readers) * base.max(extended),
        queued_control: sockets * (limits.max_queued_control as u64 + 4 * connections + 16),
        handshakes: 0,
        sockets: u64::MAX,
    }
}

/// Sockets that a server has a reason for: those without a session, and those of sessions. To its peers it
/// has others, which are in no table while they close.
const fn explained(kept: &Kept, servers: u8) -> u64 {
    if servers > 1 { u64::MAX } else { kept.handshakes + kept.permits + kept.sessions }
}

/// Whether every session is up, and nothing is open.
pub(super) fn is_quiet(env: &Environment) -> bool {
    env.plan.hosts().all(|host| is_host_quiet(env, host)) && unreachable(env).is_none()
}

/// Whether, besides, no task is left without a purpose.
pub(super) fn is_at_rest(env: &Environment) -> bool {
    let rests = |host| ledger(env, host).is_none_or(|ledger| ledger.tasks <= ledger.tasks_at_rest);
    is_quiet(env) && env.plan.hosts().all(rests)
}

fn is_host_quiet(env: &Environment, host: Host) -> bool {
    let is_quiet = env.with_host(host, |state| {
        let ledger = of_host(env, host, state);
        let up = ledger.sessions.live == ledger.sessions_expected;
        let has_left = state.is_stopped || env.plan.is_honest(host);
        let closed = ledger.sockets <= ledger.sessions.live;
        up && has_left && closed && ledger.connections.is_quiet() && state.agents.len() <= 1
    });
    is_quiet.unwrap_or(true)
}

/// A server and an agent to which it has no route.
fn unreachable(env: &Environment) -> Option<(Host, u8)> {
    let knows = |server, agent| env.with_host(server, |state| state.knows(agent)).unwrap_or(true);
    let pairs = env
        .plan
        .servers()
        .flat_map(|server| env.plan.honest_agents().map(move |agent| (server, agent)));
    pairs.into_iter().find(|(server, agent)| !knows(*server, *agent))
}

/// The reason why the hosts are not quiet.
pub(super) fn missing(env: &Environment) -> String {
    match unreachable(env) {
        Some((server, agent)) => format!("{server} has no route to agent{agent}"),
        None => "nothing is open, and yet it is not quiet".into(),
    }
}
