//! What is known of the software of a host, and its books.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, broadcast};
use watertight::core::registry;

use watertight::core::Ledger;
use watertight::{Agent, Server, ServerEvent, SessionConfig, SessionEnd};

use super::application::key;
use super::command::Command;
use super::stage::Stage;
use crate::observed::{Bounds, HostBooks, Tally};
use crate::schedule::Host;
use crate::situation::Situation;

/// What is known of the software of a host. A crash clears it: the process is gone.
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
    /// Sessions that agents of this host have had.
    pub(super) connects: u64,
    /// The software has shut down in order, for good.
    pub(super) is_stopped: bool,
    pub(super) is_crashed: bool,
    /// Tells the process to die.
    pub(super) death: Arc<Notify>,
    /// It has died.
    pub(super) is_dead: bool,
    pub(super) blamed: Option<String>,
}

/// A server and what it has told of itself.
#[derive(Debug)]
pub(super) struct ServerDesk {
    pub(super) server: Server,
    events: broadcast::Receiver<ServerEvent>,
    up: Vec<registry::SessionKey>,
    closes: u64,
    /// Clients that a specimen takes for logged in.
    logged_in: BTreeSet<String>,
}

impl ServerDesk {
    pub(super) fn new(server: Server) -> Self {
        let events = server.subscribe();
        Self { server, events, up: Vec::new(), closes: 0, logged_in: BTreeSet::new() }
    }

    /// Takes in what the server has told since. With the fault that it found with an honest end.
    fn listen(&mut self, stage: &Stage, host: Host) -> Option<String> {
        let mut blamed = None;
        loop {
            match self.events.try_recv() {
                Ok(
                    ServerEvent::Connected { session, .. }
                    | ServerEvent::PeerConnected { session, .. },
                ) => {
                    if self.up.contains(&session) {
                        stage.contradict(format!("{host}: session {session} began twice"));
                    }
                    self.up.push(session);
                }
                Ok(ServerEvent::Gone { key, session, end }) => {
                    let honest = stage.is_honest_client(&key);
                    if !matches!(end, SessionEnd::Silent(_) | SessionEnd::Transport(_)) {
                        self.logged_in.remove(&key);
                    }
                    blamed = blamed.or_else(|| blame(&end).filter(|_| honest));
                    self.ended(stage, host, session, &end);
                }
                Ok(ServerEvent::PeerGone { session, end, .. }) => {
                    blamed = blamed.or_else(|| blame(&end));
                    stage.note_if(
                        stage.any_stream(|stream| {
                            stream.is_moving() && stage.goes_through_peer(stream)
                        }),
                        Situation::PeerLostDuringTransfer,
                    );
                    self.ended(stage, host, session, &end);
                }
                Ok(_) => {}
                Err(broadcast::error::TryRecvError::Lagged(_)) => {
                    stage.contradict(format!("{host}: more events than anybody can follow"));
                }
                Err(_) => return blamed,
            }
        }
    }

    /// Sessions that were replaced and still run to their end: the registry has none but the newest.
    fn draining(&self, live: u64) -> u64 {
        (self.up.len() as u64).saturating_sub(live)
    }

    fn ended(
        &mut self,
        stage: &Stage,
        host: Host,
        session: registry::SessionKey,
        end: &SessionEnd,
    ) {
        self.closes += 1;
        if let Some(situation) = Situation::of_session(end) {
            stage.note(situation);
        }
        match self.up.iter().position(|up| *up == session) {
            Some(place) => drop(self.up.swap_remove(place)),
            None => {
                stage.contradict(format!("{host}: session {session} ended twice, or never began"))
            }
        }
    }
}

/// The fault that a session found with its other end.
pub(super) fn blame(end: &SessionEnd) -> Option<String> {
    matches!(end, SessionEnd::PeerMisbehaved(_)).then(|| end.to_string())
}

impl Desk {
    /// The books of the host's present software.
    pub(super) fn books(&mut self, stage: &Stage, host: Host) -> HostBooks {
        match host {
            Host::Server(_) => self.server_books(stage, host),
            Host::Agent(number) => self.agent_books(stage, number),
        }
    }

    fn server_books(&mut self, stage: &Stage, host: Host) -> HostBooks {
        let Some(desk) = &mut self.server else { return HostBooks::new(host, Bounds::default()) };
        self.blamed = self.blamed.take().or_else(|| desk.listen(stage, host));
        let ledger = desk.server.ledger();
        let (agents, peers) = (ledger.registry.agents, ledger.registry.peers);
        let sessions = Tally {
            added: agents.added + peers.added,
            removed: agents.removed + peers.removed,
            live: agents.live + peers.live,
        };
        let routes = ledger.registry.routes;
        stage.seen().note_causes(&ledger.connections);
        note_totals(stage, host, &mut self.total, &ledger.connections);
        HostBooks {
            sessions,
            sessions_expected: stage.expected_sessions(host),
            closes_reported: desk.closes + desk.draining(sessions.live),
            connections: ledger.connections,
            routes: Tally { added: routes.added, removed: routes.removed, live: routes.live },
            sockets: stage.lines().sockets(host),
            tasks: tasks(&self.runtime, ledger.tasks),
            // One keeps each peer's session up.
            tasks_at_rest: sessions.live + u64::from(stage.schedule.cast.servers) - 1,
            blamed: self.blamed.clone(),
            ..HostBooks::new(host, bounds(&stage.server_session(), sessions.added))
        }
    }

    fn agent_books(&mut self, stage: &Stage, number: u8) -> HostBooks {
        let host = Host::Agent(number);
        let mut connections = self.past;
        let mut own_count = 0;
        for (_, agent) in &self.agents {
            let ledger = agent.ledger();
            connections.absorb(&ledger.connections);
            own_count += ledger.tasks;
        }
        stage.seen().note_causes(&connections);
        note_totals(stage, host, &mut self.total, &connections);
        let up = u64::from(self.is_connected());
        let honest = stage.is_honest(host) && !self.is_stopped;
        HostBooks {
            sessions: Tally { added: up, removed: 0, live: up },
            sessions_expected: u64::from(honest),
            connections,
            sockets: stage.lines().sockets(host),
            tasks: tasks(&self.runtime, own_count),
            // One keeps the session up.
            tasks_at_rest: up + 1,
            blamed: self.blamed.clone(),
            ..HostBooks::new(host, bounds(&stage.agent_session(), self.connects + 1))
        }
    }

    /// Sessions of a server whose end nobody has told of, though they are in no table any more.
    pub(super) fn unended(&self) -> u64 {
        let Some(desk) = &self.server else { return 0 };
        let registry = desk.server.ledger().registry;
        desk.draining(registry.agents.live + registry.peers.live)
    }

    /// Whether a client was not logged in, and is now.
    pub(super) fn log_in(&mut self, key: &str) -> bool {
        self.server.as_mut().is_none_or(|desk| desk.logged_in.insert(key.to_string()))
    }

    /// Other software begins other books.
    pub(super) fn forget_totals(&mut self) {
        self.total = (0, 0);
    }

    /// Whether the newest agent has a session.
    pub(super) fn is_connected(&self) -> bool {
        let is_up = |(_, agent): &(u64, Agent)| {
            matches!(*agent.status().borrow(), watertight::AgentStatus::Connected { .. })
        };
        self.agents.last().is_some_and(is_up)
    }

    /// Whether a dial would find this agent.
    pub(super) fn knows(&self, agent: u8) -> bool {
        let Some(desk) = &self.server else { return false };
        let key = key(agent);
        let is_up = |client: watertight::ClientInfo| !client.going_away;
        desk.server.client(&key).is_some_and(is_up) || !desk.server.peers_of(&key).is_empty()
    }
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

/// What so many sessions may hold together.
fn bounds(config: &SessionConfig, sessions: u64) -> Bounds {
    let limits = &config.limits;
    let connections = limits.max_connections as u64;
    let base = limits.unread_budget as u64 + limits.max_message as u64;
    let extended = connections * limits.initial_window + limits.window_budget;
    Bounds {
        connections: sessions * connections,
        bytes_to_send: sessions * limits.send_budget as u64,
        bytes_received: sessions * base.max(extended),
        queued_control: sessions * (limits.max_queued_control as u64 + 4 * connections + 16),
    }
}
