//! The state that the hosts of a run and its runner share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;

use super::{Program, Role};
use crate::schedule;
use crate::turmoil_world::log;
use crate::turmoil_world::log::tell_of_network;
use crate::turmoil_world::tcp::{TcpConnection, TcpConnections};
use crate::{Invariant, Schedule, Trace};

/// The result of a part of a run.
pub(super) type PartResult<T = ()> = Result<T, (Invariant, String)>;

/// The state that the hosts of a run and its runner share.
pub(super) struct Shared {
    pub(super) schedule: Schedule,
    pub(super) trace: Trace,
    pub(super) names: Vec<(schedule::Host, String, Role)>,
    state: Mutex<SharedState>,
    pub(super) healed: watch::Sender<bool>,
    pub(super) stopped: watch::Sender<bool>,
}

#[derive(Default)]
pub(super) struct SharedState {
    lines: TcpConnections,
    pub(super) addresses: BTreeMap<IpAddr, schedule::Host>,
    crashed: BTreeSet<schedule::Host>,
    starts: BTreeMap<schedule::Host, u64>,
    pub(super) runtimes: BTreeMap<schedule::Host, runtime::Handle>,
    /// How software has ended.
    pub(super) ended: BTreeMap<schedule::Host, Result<(), String>>,
    pub(super) errors: Vec<String>,
    pub(super) now: Duration,
    pub(super) steps: usize,
}

impl Shared {
    pub(super) fn new(program: &Program, schedule: &Schedule, trace: &Trace) -> Self {
        let server = program.parts.iter().position(|part| part.role == Role::Client);
        let mut agents = 0_u8..;
        let names = program.parts.iter().enumerate().map(|(id, part)| {
            let host = if Some(id) == server {
                schedule::Host::Server(0)
            } else {
                schedule::Host::Agent(agents.next().unwrap_or(u8::MAX))
            };
            (host, part.name.clone(), part.role)
        });
        Self {
            names: names.collect(),
            schedule: schedule.clone(),
            trace: trace.clone(),
            state: Mutex::default(),
            healed: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn healed(&self) -> watch::Receiver<bool> {
        self.healed.subscribe()
    }

    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = (schedule::Host, &str)> + '_ {
        self.names.iter().map(|(host, name, _)| (*host, name.as_str()))
    }

    pub(super) fn name(&self, host: schedule::Host) -> Option<&str> {
        self.hosts().find(|(other, _)| *other == host).map(|(_, name)| name)
    }

    /// Whether a step is a fault of hosts that are there.
    pub(super) fn suffers(&self, action: &schedule::Action) -> bool {
        use schedule::Action as A;
        let both = |a, b| self.name(a).is_some() && self.name(b).is_some();
        match *action {
            A::Crash { host } | A::Bounce { host } | A::Cut { by: host } => {
                self.name(host).is_some()
            }
            A::PartitionOneWay { from: a, to: b }
            | A::Partition { a, b }
            | A::Repair { a, b }
            | A::Hold { a, b }
            | A::Release { a, b }
            | A::Latency { a, b, .. } => both(a, b),
            _ => false,
        }
    }

    pub(super) fn seed(&self, host: schedule::Host) -> u64 {
        let start = self.lock().starts.get(&host).copied().unwrap_or_default();
        let id = match host {
            schedule::Host::Server(number) => u64::from(number),
            schedule::Host::Agent(number) => 256 + u64::from(number),
            schedule::Host::Unauthenticated => 512,
        };
        self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (id << 32) ^ start
    }

    pub(super) fn portion(&self) -> usize {
        self.schedule.knobs.link.portion.max(1) as usize
    }

    /// The connection between two addresses: the connector's and the acceptor's.
    pub(super) fn line(
        &self,
        (connector, acceptor): (SocketAddr, SocketAddr),
    ) -> Arc<TcpConnection> {
        let mut state = self.lock();
        let unauthenticated = schedule::Host::Unauthenticated;
        let host =
            |at: SocketAddr| state.addresses.get(&at.ip()).copied().unwrap_or(unauthenticated);
        let (by, to) = (host(connector), host(acceptor));
        let capacity = self.schedule.knobs.link.capacity.max(1) as usize;
        state.lines.between(connector, acceptor, || TcpConnection::new(by, to, capacity, None))
    }

    pub(super) fn lines_by(&self, host: schedule::Host) -> Vec<Arc<TcpConnection>> {
        self.lock().lines.by(host)
    }

    pub(super) fn is_crashed(&self, host: schedule::Host) -> bool {
        self.lock().crashed.contains(&host)
    }

    pub(super) fn crashed(&self, host: schedule::Host) {
        let mut state = self.lock();
        state.crashed.insert(host);
        state.ended.remove(&host);
        let runtime = state.runtimes.remove(&host);
        drop(state);
        drop(runtime);
    }

    pub(super) fn starts(&self, host: schedule::Host) {
        let mut state = self.lock();
        state.crashed.remove(&host);
        *state.starts.entry(host).or_default() += 1;
    }

    /// Software of this role that has not ended.
    pub(super) fn running(&self, role: Role) -> Option<&str> {
        let state = self.lock();
        let mut of_role = self.names.iter().filter(|(_, _, of)| *of == role);
        let running = of_role.find(|(host, ..)| !state.ended.contains_key(host));
        running.map(|(_, name, _)| name.as_str())
    }

    pub(super) fn no_failure(&self) -> PartResult {
        let state = self.lock();
        let failed = state
            .ended
            .iter()
            .find_map(|(host, result)| result.as_ref().err().map(|error| (*host, error.clone())));
        let Some((host, error)) = failed else { return Ok(()) };
        let name = self.name(host).unwrap_or_default();
        Err((Invariant::Progress, format!("{name}: {error}")))
    }

    /// Whether no task and no socket is left where software has ended.
    pub(super) fn nothing_left(&self) -> PartResult {
        let state = self.lock();
        for (host, name) in self.hosts() {
            let runtime = state.runtimes.get(&host);
            let tasks = runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks());
            if tasks > 0 {
                return Err((
                    Invariant::NoTaskSurvives,
                    format!("{name}: {tasks} tasks are alive"),
                ));
            }
            let sockets = state.lines.sockets(host);
            if sockets > 0 {
                let what = format!("{name}: {sockets} sockets were never closed");
                return Err((Invariant::SocketsClosed, what));
            }
        }
        Ok(())
    }

    pub(super) fn note(&self, host: schedule::Host, what: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let now = turmoil::sim_elapsed().unwrap_or_else(|| self.lock().now);
            self.trace.note(now, host, what);
        }
    }

    pub(super) fn log(&self, line: &log::Line) {
        if line.is_error {
            self.lock().errors.push(line.to_string());
        }
        if !self.trace.is_on() {
            return;
        }
        let now = turmoil::sim_elapsed().unwrap_or_else(|| self.lock().now);
        let addresses = |address| self.lock().addresses.get(&address).copied();
        if !tell_of_network(&self.trace, now, line, addresses) {
            self.trace.step(now, || format!("log: {line}"));
        }
    }
}
