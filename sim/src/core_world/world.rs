//! Who is there: servers, agents, and the links between them.

use watertight_core::registry::{Registry, RegistryLimits, SessionKey};
use watertight_core::{Instant, Ledger, Reconnect, ReconnectConfig, SessionConfig};

use super::context::{Context, Site};
use super::link::{Endpoint, Link, LinkEnd, earlier};
use super::pipe::{Path, Pipe, PipeDirection, PipeRandom};
use super::tunnel::Tunnel;
use crate::schedule::{Agent, AgentKind, Host, millis};
use crate::situation::Situations;
use crate::{Bounds, HostLedger, Observed, Schedule, Trace, Violation};

/// The agent's end of a link.
pub(super) const AGENT: usize = 0;
/// The server's end of a link.
pub(super) const SERVER: usize = 1;

/// Everybody and everything.
pub(super) struct CoreWorld<'a, T: Tunnel> {
    pub(super) tunnel: &'a T,
    pub(super) context: Context<'a>,
    pub(super) configs: [SessionConfig; 2],
    pub(super) servers: Vec<Server>,
    pub(super) agents: Vec<AgentHost>,
    pub(super) links: Vec<Link<T::End>>,
    pub(super) next_link: u32,
    /// The most links that there were at once.
    pub(super) most_links: usize,
    /// The ledgers of sessions that have ended, by the index of their host's ledger.
    pub(super) past: Vec<Ledger>,
    /// No process does anything by itself before.
    pub(super) next_process: Option<Instant>,
    /// Steps performed.
    pub(super) steps: usize,
    /// Moments that have passed, of which some are checked closely.
    pub(super) moments: u64,
    /// Whether an end has left a link since the links were swept.
    pub(super) parted: bool,
    /// How much has happened without time passing.
    pub(super) standstill: (Instant, u32),
    pub(super) violation: Option<Violation>,
}

/// A server's process.
pub(super) struct Server {
    pub(super) up: bool,
    /// It shuts down in order, and starts again when its sessions are over.
    pub(super) stopping: bool,
    pub(super) registry: Registry,
    pub(super) sessions: Vec<(SessionKey, u32)>,
    pub(super) host_ledger: usize,
}

/// An agent's host.
pub(super) struct AgentHost {
    pub(super) key: String,
    pub(super) kind: AgentKind,
    pub(super) server: usize,
    pub(super) path: Path,
    /// More than one while a newer one takes over.
    pub(super) processes: Vec<Process>,
    pub(super) started: u64,
    pub(super) was_connected: bool,
    pub(super) host_ledger: Option<usize>,
}

/// An agent's process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) state: ProcessState,
    pub(super) reconnect: Reconnect,
    /// It stops for good when its session is over.
    pub(super) last: bool,
    /// It shuts down in order, and starts again when its session is over.
    pub(super) restarting: bool,
}

/// How far an agent's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProcessState {
    /// It connects then.
    Waiting(Instant),
    /// It waits for an answer through this link until then.
    Connecting(u32, Instant),
    /// It has a session through this link.
    Connected(u32),
}

impl Process {
    /// When it does something by itself.
    pub(super) const fn next(&self) -> Option<Instant> {
        match self.state {
            ProcessState::Waiting(at) | ProcessState::Connecting(_, at) => Some(at),
            ProcessState::Connected(_) => None,
        }
    }
}

impl<'a, T: Tunnel> CoreWorld<'a, T> {
    pub(super) fn new(tunnel: &'a T, schedule: &'a Schedule, trace: &'a Trace) -> Self {
        let context = Context {
            schedule,
            trace,
            now: Instant::EPOCH,
            streams: Vec::new(),
            observed: Observed::default(),
            seen: Situations::default(),
            late: Vec::new(),
            closing: false,
            progress: 0,
        };
        let knobs = &schedule.knobs;
        let configs =
            [knobs.agent.session(&knobs.timing.of_agents()), knobs.server.session(&knobs.timing)];
        let mut world = Self {
            tunnel,
            context,
            servers: Vec::new(),
            agents: Vec::new(),
            links: Vec::new(),
            next_link: 0,
            most_links: 0,
            configs,
            past: Vec::new(),
            next_process: None,
            steps: 0,
            moments: 0,
            parted: false,
            standstill: (Instant::EPOCH, 0),
            violation: None,
        };
        for number in 0..schedule.cast.servers {
            world.add_server(number);
        }
        for (number, agent) in schedule.cast.agents.iter().enumerate() {
            world.add_agent(number, agent);
        }
        world
    }

    fn add_server(&mut self, number: u8) {
        let host_ledger = self.open_ledger(Host::Server(number));
        self.servers.push(Server {
            up: true,
            stopping: false,
            registry: Registry::new(RegistryLimits::default()),
            sessions: Vec::new(),
            host_ledger,
        });
    }

    fn add_agent(&mut self, number: usize, agent: &Agent) {
        let host = agent_host(number);
        let keeps_ledger = matches!(agent.kind, AgentKind::Watertight | AgentKind::Base);
        let host_ledger = keeps_ledger.then(|| self.open_ledger(host));
        self.agents.push(AgentHost {
            key: host.to_string(),
            kind: agent.kind,
            server: usize::from(agent.home),
            path: Path { crawls: keeps_ledger, ..Path::default() },
            processes: Vec::new(),
            started: 0,
            was_connected: false,
            host_ledger,
        });
        self.start_process(number);
    }

    fn open_ledger(&mut self, host: Host) -> usize {
        self.past.push(Ledger::default());
        self.context.observed.hosts.push(HostLedger::new(host, Bounds::default()));
        self.past.len() - 1
    }

    /// A process of the agent starts and connects at once.
    pub(super) fn start_process(&mut self, agent: usize) {
        let seed = self.context.schedule.seed;
        let longest = millis(self.context.schedule.knobs.timing.reconnect);
        let config = ReconnectConfig {
            initial: longest / 4,
            spread: longest / 4,
            max: longest,
            multiplier: 2,
            stable_after: longest,
        };
        let now = self.context.now;
        let Some(host) = self.agents.get_mut(agent) else { return };
        host.started += 1;
        let stream = (agent as u64) << 32 | host.started;
        host.processes.push(Process {
            state: ProcessState::Waiting(now),
            reconnect: Reconnect::new(config, seed ^ stream),
            last: false,
            restarting: false,
        });
        self.wake_at(now);
    }

    /// A process does something by itself then.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.next_process = earlier(self.next_process, Some(at));
    }

    /// A link whose handshake has just begun.
    pub(super) fn add_link(&mut self, agent: usize) -> u32 {
        let number = self.next_link;
        self.next_link += 1;
        let (now, seed) = (self.context.now, self.context.schedule.seed);
        let pipe =
            |side: u64| Pipe::new(now, PipeRandom::new(seed, 2 * u64::from(number) + side + 1));
        let ends = [LinkEnd::Before, LinkEnd::Before];
        let pipes = [pipe(0), pipe(1)];
        let shaken = self.agents.get(agent).is_some_and(|host| host.path.is_faulty());
        self.links.push(Link { number, agent, ends, pipes, shaken, next: None, due: true });
        self.most_links = self.most_links.max(self.links.len());
        number
    }

    pub(super) fn link(&mut self, number: u32) -> Option<(usize, &mut Link<T::End>)> {
        let found = self.links.iter_mut().enumerate().find(|(_, link)| link.number == number);
        // The caller changes it.
        found.map(|(site, link)| {
            link.due = true;
            (site, link)
        })
    }

    /// The end of a link, if it has a session.
    pub(super) fn end(&mut self, link: u32, side: usize) -> Option<&mut Endpoint<T::End>> {
        self.link(link)?.1.ends.get_mut(side)?.there()
    }

    /// The state of a direction of an agent's network.
    pub(super) fn direction(&self, agent: usize, from: usize) -> PipeDirection<'a> {
        let path = self.agents.get(agent).map(|host| host.path).unwrap_or_default();
        PipeDirection::new(&self.context.schedule.knobs.link, &path, from)
    }

    pub(super) fn site(&self, link: u32, agent: usize, side: usize) -> Site {
        let host = self.agents.get(agent);
        let honest = host.is_some_and(|host| host.kind.is_honest());
        let server = host.map_or(0, |host| host.server);
        let host = if side == AGENT { agent_host(agent) } else { server_host(server) };
        Site { link, side, agent, host, honest, calm: false }
    }

    /// The link through which an agent has a session, the newest of its processes first.
    pub(super) fn connected(&self, agent: usize) -> Option<u32> {
        let processes = &self.agents.get(agent)?.processes;
        processes.iter().rev().find_map(|process| match process.state {
            ProcessState::Connected(link) => Some(link),
            _ => None,
        })
    }

    pub(super) fn host_ledger_of(&self, agent: usize, side: usize) -> Option<usize> {
        let host = self.agents.get(agent)?;
        if side == AGENT {
            host.host_ledger
        } else {
            Some(self.servers.get(host.server)?.host_ledger)
        }
    }
}

/// The host of an agent, by its index in the cast.
pub(super) fn agent_host(agent: usize) -> Host {
    Host::Agent(u8::try_from(agent).unwrap_or(u8::MAX))
}

pub(super) fn server_host(server: usize) -> Host {
    Host::Server(u8::try_from(server).unwrap_or(u8::MAX))
}
