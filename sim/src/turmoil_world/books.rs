//! What is known of the software of a host, and its books.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use watertight::core::Ledger;
use watertight::{Agent, AgentStatus, SessionConfig, SessionEnd};

use super::application::key;
use super::command::Command;
use super::names::Names;
use super::server_desk::ServerDesk;
use super::stage::Stage;
use super::standing::Account;
use crate::observed::{Bounds, HostBooks, Kept, Tally};
use crate::schedule::Host;

/// What is known of the software of a host. A crash clears all but how often it has started: the
/// process is gone.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) commands: Option<UnboundedSender<Command>>,
    pub(super) runtime: Option<Handle>,
    pub(super) server: Option<ServerDesk>,
    /// The agents of this host by the number of their starts, the newest last.
    pub(super) agents: Vec<(u64, Agent)>,
    /// The books of agents that were replaced or drained.
    pub(super) past: Ledger,
    /// Connections ever added and removed, when the books were last looked at.
    total: (u64, u64),
    /// What its process looks names up with.
    pub(super) names: Option<Arc<Names>>,
    /// What the agents of this host have told of their sessions.
    pub(super) account: Account,
    /// The software has shut down in order, for good.
    pub(super) is_stopped: bool,
    pub(super) is_crashed: bool,
    /// How often its software has started, in all its lives.
    starts: u64,
    /// Tells the process to die.
    pub(super) death: Arc<Notify>,
    /// It has died.
    pub(super) is_dead: bool,
    pub(super) blamed: Option<String>,
    pub(super) untold: Option<String>,
}

/// The fault that a session found with its other end.
pub(super) fn blame(end: &SessionEnd) -> Option<String> {
    matches!(end, SessionEnd::ProtocolViolation(_)).then(|| end.to_string())
}

impl Desk {
    /// Counts a start of the host's software. Each throws dice of its own.
    pub(super) const fn start(&mut self) -> u64 {
        self.starts += 1;
        self.starts
    }

    /// Forgets all but how often it has started, and gives back what was known.
    pub(super) fn bury(&mut self) -> Self {
        let starts = self.starts;
        std::mem::replace(self, Self { starts, ..Self::default() })
    }

    /// The books of the host's present software.
    pub(super) fn books(&mut self, stage: &Stage, host: Host) -> HostBooks {
        match host {
            Host::Server(_) => self.server_books(stage, host),
            Host::Agent(number) => self.agent_books(stage, number),
            // Nothing of the library runs there.
            Host::Strangers => HostBooks::new(host, Bounds::default()),
        }
    }

    fn server_books(&mut self, stage: &Stage, host: Host) -> HostBooks {
        let Some(desk) = &mut self.server else { return HostBooks::new(host, Bounds::default()) };
        self.blamed = self.blamed.take().or_else(|| desk.listen(stage, host));
        if let Some(overdue) = desk.overdue(stage) {
            stage.contradict(format!("{host}: {overdue}"));
        }
        let ledger = desk.server.ledger();
        let kept = kept(desk.server.kept());
        let (agents, peers) = (ledger.registry.agents, ledger.registry.peers);
        let sessions = Tally {
            added: agents.added + peers.added,
            removed: agents.removed + peers.removed,
            live: agents.live + peers.live,
        };
        let routes = ledger.registry.routes;
        let (sockets, readers) = (stage.lines().sockets(host), stage.readers(host));
        stage.seen().note_causes(&ledger.connections);
        note_totals(stage, host, &mut self.total, &ledger.connections);
        HostBooks {
            sessions,
            sessions_expected: stage.expected_sessions(host),
            closes_reported: desk.roll.told() + desk.roll.replaced(),
            connections: ledger.connections,
            routes: Tally { added: routes.added, removed: routes.removed, live: routes.live },
            sockets,
            tasks: tasks(&self.runtime, ledger.tasks),
            // One keeps each peer's session up.
            tasks_at_rest: sessions.live + u64::from(stage.schedule.cast.servers) - 1,
            kept,
            blamed: self.blamed.clone(),
            ..HostBooks::new(
                host,
                Bounds {
                    handshakes: stage.handshakes_allowed(),
                    sockets: explained(&kept, stage.schedule.cast.servers),
                    ..bounds(&stage.server_session(), sockets, readers)
                },
            )
        }
    }

    fn agent_books(&mut self, stage: &Stage, number: u8) -> HostBooks {
        let host = Host::Agent(number);
        let mut connections = self.past;
        let (mut own_count, mut streams, mut held) = (0, 0, 0);
        for (_, agent) in &self.agents {
            let ledger = agent.ledger();
            streams += agent.kept().streams as u64;
            held += agent.kept().held as u64;
            connections.absorb(&ledger.connections);
            own_count += ledger.tasks;
        }
        stage.seen().note_causes(&connections);
        note_totals(stage, host, &mut self.total, &connections);
        let up = self.agents.iter().filter(|(_, agent)| is_up(agent)).count() as u64;
        let honest = stage.is_honest(host) && !self.is_stopped;
        let (sockets, readers) = (stage.lines().sockets(host), stage.readers(host));
        HostBooks {
            sessions: Tally { added: self.account.begun, removed: self.account.ended, live: up },
            sessions_expected: u64::from(honest),
            closes_reported: self.account.reasons,
            connections,
            sockets,
            tasks: tasks(&self.runtime, own_count),
            // One keeps the session up.
            tasks_at_rest: up + 1,
            kept: Kept { streams, held, ..Kept::default() },
            blamed: self.blamed.clone(),
            untold: self.untold.clone(),
            ..HostBooks::new(host, bounds(&stage.agent_session(), sockets, readers))
        }
    }

    /// The books of software that is gone: whatever ended was told.
    pub(super) fn last_books(&mut self, stage: &Stage, host: Host) -> HostBooks {
        let mut books = self.books(stage, host);
        if let Some(desk) = &self.server {
            books.closes_reported = desk.roll.told();
        }
        books
    }

    /// Sessions of a server whose end nobody has told of, though they are in no table any more.
    pub(super) fn unended(&self) -> u64 {
        self.server.as_ref().map_or(0, |desk| desk.roll.replaced())
    }

    /// Sockets of a server that are no sessions yet.
    pub(super) fn handshakes(&self) -> usize {
        self.server.as_ref().map_or(0, |desk| desk.server.kept().handshakes)
    }

    /// Whether a client was not logged in, and is now.
    pub(super) fn log_in(&mut self, key: &str) -> bool {
        self.server.as_mut().is_none_or(|desk| desk.logged_in.insert(key.to_string()))
    }

    /// Other software begins other books.
    pub(super) fn forget_totals(&mut self) {
        self.total = (0, 0);
    }

    /// Whether a dial would find this agent.
    pub(super) fn knows(&self, agent: u8) -> bool {
        let Some(desk) = &self.server else { return false };
        let key = key(agent);
        let is_up = |client: watertight::ClientInfo| !client.going_away;
        desk.server.client(&key).is_some_and(is_up) || !desk.server.peers_of(&key).is_empty()
    }
}

fn is_up(agent: &Agent) -> bool {
    matches!(*agent.status().borrow(), AgentStatus::Connected { .. })
}

/// Books only grow.
fn note_totals(stage: &Stage, host: Host, total: &mut (u64, u64), connections: &Ledger) {
    let now = (connections.added, connections.removed.total());
    if now.0 < total.0 || now.1 < total.1 {
        stage.contradict(format!("{host}: {total:?} connections were in the books, now {now:?}"));
    }
    *total = now;
}

/// Tasks of the library: those that it counts, or those that the runtime counts if they are more.
/// Nothing else is spawned on the runtimes.
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

/// What the sessions may hold together that run or say goodbye: each has a socket. A connection, and
/// what has come by it, outlives its session until its reader has had it.
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
/// has others, which are in no table when they say goodbye.
const fn explained(kept: &Kept, servers: u8) -> u64 {
    if servers > 1 { u64::MAX } else { kept.handshakes + kept.permits + kept.sessions }
}
