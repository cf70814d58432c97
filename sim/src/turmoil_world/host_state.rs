//! The state of a host's software as the runner knows it, and the commands to the software.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use watertight::proto::Ledger;
use watertight::{Agent, Events, Server};

use super::plan::client_key;
use super::resolver::Names;
use super::sessions::{AgentSessions, ServerSessions};
use super::stream::Stream;
use crate::schedule::{HostileMessage, Opening, Transport};

/// The state of a host's software. A crash clears all but the count of starts: the process has ended.
#[derive(Debug, Default)]
pub(super) struct HostState {
    pub(super) commands: Option<UnboundedSender<Command>>,
    pub(super) runtime: Option<Handle>,
    pub(super) server: Option<ServerState>,
    /// The agents of this host by the number of their starts, the newest last.
    pub(super) agents: Vec<(u64, Agent)>,
    /// The ledger of agents that were replaced or drained.
    pub(super) past: Ledger,
    /// Connections ever added and removed, when the ledger was last checked.
    pub(super) total: (u64, u64),
    /// The resolver of its process.
    pub(super) names: Option<Arc<Names>>,
    /// The sessions that the agents of this host have reported.
    pub(super) sessions: AgentSessions,
    /// The software has shut down in order, for good.
    pub(super) is_stopped: bool,
    pub(super) is_crashed: bool,
    /// Starts of its software, in all its processes.
    starts: u64,
    /// Ends the process.
    pub(super) death: Arc<Notify>,
    /// The process has ended by it.
    pub(super) is_dead: bool,
    /// The fault that it found with an honest remote.
    pub(super) blamed: Option<String>,
    /// The end of a session whose close reason did not arrive.
    pub(super) without_reason: Option<String>,
}

/// A server and the events that it has reported.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) server: Server,
    pub(super) sessions: ServerSessions,
    pub(super) events: Events,
    /// Clients that a seeded bug takes for logged in.
    pub(super) logged_in: BTreeSet<String>,
}

/// A command from the runner to the software of a host.
#[derive(Debug)]
pub(super) enum Command {
    /// An application dials.
    Dial(Arc<Stream>),
    /// Ends the agent's sessions.
    Disconnect(u8),
    /// A server drains the sessions of the agent, or an agent its own.
    Drain { agent: u8, within: Duration },
    /// A second process of the agent takes over.
    Replace,
    /// Shuts down and starts again.
    Restart(Duration),
    /// Shuts down.
    Stop(Duration),
    /// A hostile agent sends a message.
    Send(HostileMessage),
    /// Unauthenticated remotes connect to a server.
    Visit(Visitors),
    /// A hostile agent leaves, and an unauthenticated remote that has a session.
    HangUp,
}

/// Unauthenticated remotes that connect together.
#[derive(Clone, Debug)]
pub(super) struct Visitors {
    pub(super) server: u8,
    pub(super) sockets: u16,
    pub(super) transport: Transport,
    pub(super) opening: Opening,
    pub(super) leave_after: Option<u32>,
    /// Until when they connect again after the server closes.
    pub(super) until: Duration,
    /// They close late, when the server has closed.
    pub(super) hold_on: bool,
}

impl HostState {
    /// Counts a start of the host's software. Each has its own random numbers.
    pub(super) const fn start(&mut self) -> u64 {
        self.starts += 1;
        self.starts
    }

    /// Clears all but the count of starts, and returns the rest.
    pub(super) fn clear(&mut self) -> Self {
        let starts = self.starts;
        std::mem::replace(self, Self { starts, ..Self::default() })
    }

    /// Sessions of a server that are in no table any more, and whose end was not reported.
    pub(super) fn unended(&self) -> u64 {
        self.server.as_ref().map_or(0, |state| state.sessions.superseded())
    }

    /// Sockets of a server that are no sessions yet.
    pub(super) fn handshakes(&self) -> usize {
        self.server.as_ref().map_or(0, |state| state.server.kept().handshakes)
    }

    /// Whether a client was not logged in, and is now.
    pub(super) fn log_in(&mut self, key: &str) -> bool {
        self.server.as_mut().is_none_or(|state| state.logged_in.insert(key.to_string()))
    }

    /// Starts the totals over: other software has another ledger.
    pub(super) fn forget_totals(&mut self) {
        self.total = (0, 0);
    }

    /// Whether a dial would find this agent.
    pub(super) fn knows(&self, agent: u8) -> bool {
        let Some(state) = &self.server else { return false };
        let key = client_key(agent);
        let is_up = |client: watertight::ClientInfo| !client.going_away;
        state.server.client(&key).is_some_and(is_up) || !state.server.peers_of(&key).is_empty()
    }
}

impl ServerState {
    pub(super) fn new(server: Server) -> Self {
        let events = server.subscribe();
        Self { server, events, sessions: ServerSessions::default(), logged_in: BTreeSet::new() }
    }
}
