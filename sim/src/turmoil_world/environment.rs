//! The environment that the hosts of a run and its runner share. All of it runs on one thread.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::host_state::{Command, HostState};
use super::plan::{Deviation, RunPlan};
use super::recorder::{Recorder, lock};
use super::remotes::Remotes;
use super::shared_player::Promise;
use super::stream::Stream;
use super::tcp::{TcpConnection, TcpConnections, TcpSocket};
use crate::schedule::{Host, Schedule, StreamId, TrafficEnd};
use crate::situation::Situation;
use crate::trace::Trace;

/// The environment that the hosts of a run and its runner share.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) plan: RunPlan,
    pub(super) recorder: Recorder,
    connections: Mutex<TcpConnections>,
    remotes: Mutex<Remotes>,
    streams: Mutex<BTreeMap<StreamId, Arc<Stream>>>,
    hosts: BTreeMap<Host, Mutex<HostState>>,
    addresses: Mutex<BTreeMap<IpAddr, Host>>,
    attempts: AtomicU64,
    /// Sessions are ended on purpose.
    ends_sessions: AtomicBool,
    /// Sockets that a seeded bug does not close.
    held: Mutex<Vec<Arc<Mutex<TcpSocket>>>>,
}

impl Environment {
    pub(super) fn new(schedule: &Schedule, trace: &Trace, deviation: Deviation) -> Self {
        let plan = RunPlan { schedule: schedule.clone(), deviation };
        Self {
            hosts: plan.hosts().map(|host| (host, Mutex::default())).collect(),
            plan,
            recorder: Recorder::new(trace),
            connections: Mutex::default(),
            remotes: Mutex::default(),
            streams: Mutex::default(),
            addresses: Mutex::default(),
            attempts: AtomicU64::default(),
            ends_sessions: AtomicBool::default(),
            held: Mutex::default(),
        }
    }

    /// Calls `act` with the state of a host, if the cast has it.
    pub(super) fn with_host<T>(
        &self,
        host: Host,
        act: impl FnOnce(&mut HostState) -> T,
    ) -> Option<T> {
        self.hosts.get(&host).map(|state| act(&mut lock(state)))
    }

    /// Opens the queue of commands to the software of a host that starts.
    pub(super) fn open(&self, host: Host) -> UnboundedReceiver<Command> {
        let (sender, receiver) = unbounded_channel();
        self.with_host(host, |state| state.commands = Some(sender));
        receiver
    }

    /// Sends a command to a host's software, if it runs.
    pub(super) fn send(&self, host: Host, command: Command) {
        let commands = self.with_host(host, |state| state.commands.clone()).flatten();
        if let Some(commands) = commands {
            // Software that has crashed does not receive it.
            commands.send(command).ok();
        }
    }

    /// Counts an attempt to connect.
    pub(super) fn count_attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts to connect.
    pub(super) fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn set_address(&self, address: IpAddr, host: Host) {
        lock(&self.addresses).insert(address, host);
    }

    pub(super) fn host_at(&self, address: IpAddr) -> Option<Host> {
        lock(&self.addresses).get(&address).copied()
    }

    pub(super) fn connections(&self) -> MutexGuard<'_, TcpConnections> {
        lock(&self.connections)
    }

    /// A new TCP connection. As in the core world, those of agents that behave are slow.
    pub(super) fn connection(&self, by: Host, to: Host) -> TcpConnection {
        let link = &self.plan.schedule.knobs.link;
        let is_slow = matches!(by, Host::Agent(_)) && self.plan.is_honest(by);
        let rate = if is_slow { link.rate } else { 0 };
        TcpConnection::new(by, to, link.capacity.max(1) as usize, NonZeroU32::new(rate))
    }

    pub(super) fn remotes(&self) -> MutexGuard<'_, Remotes> {
        lock(&self.remotes)
    }

    pub(super) fn add_stream(&self, stream: Stream) -> Arc<Stream> {
        let stream = Arc::new(stream);
        lock(&self.streams).insert(stream.id, Arc::clone(&stream));
        stream
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<Arc<Stream>> {
        lock(&self.streams).get(&id).cloned()
    }

    /// The stream with this target.
    pub(super) fn stream_to(&self, target: &str) -> Option<Arc<Stream>> {
        self.stream(StreamId::of_target(target)?)
    }

    /// Forgets the streams from this one on, which have ended.
    pub(super) fn forget_streams(&self, first: StreamId) {
        lock(&self.streams).split_off(&first);
    }

    pub(super) fn streams(&self) -> Vec<Arc<Stream>> {
        lock(&self.streams).values().cloned().collect()
    }

    pub(super) fn any_stream(&self, is: impl Fn(&Stream) -> bool) -> bool {
        lock(&self.streams).values().any(|stream| is(stream))
    }

    /// Whether a stream passes through a peer.
    pub(super) fn goes_through_peer(&self, stream: &Stream) -> bool {
        let Host::Server(server) = stream.from else { return false };
        self.plan.agent(stream.agent).is_some_and(|agent| agent.home != server)
    }

    /// Streams of which a host has an open end.
    pub(super) fn readers(&self, host: Host) -> u64 {
        let streams = self.streams();
        let near = streams.iter().filter(|stream| stream.from == host && !stream.is_over());
        let far = streams.iter().filter(|stream| self.answers(stream) == host);
        near.count() as u64 + far.map(|stream| stream.open_targets()).sum::<u64>()
    }

    /// The host of a stream's targets.
    fn answers(&self, stream: &Stream) -> Host {
        match (stream.from, self.plan.home(stream.agent)) {
            (Host::Agent(_), Some(home)) => home,
            _ => Host::Agent(stream.agent),
        }
    }

    /// The streams whose bytes before a reset must be read.
    pub(super) fn promise(&self) -> Promise {
        // A reset that was not taken for the linger time overtakes the bytes before it, and a host that shuts
        // down drops bytes that its applications have not read.
        if self.recorder.situations().has(Situation::LingerTimeout) || self.shuts_down() {
            Promise::None
        } else if !self.ends_sessions() && self.plan.touches_no_session() {
            Promise::All
        } else {
            Promise::OfThoseTold
        }
    }

    /// Whether all hosts shut down with everything still open.
    pub(super) fn shuts_down(&self) -> bool {
        let schedule = &self.plan.schedule;
        schedule.traffic_end == TrafficEnd::Shutdown
            && self.recorder.steps() >= schedule.steps.len()
    }

    /// Sessions are ended from now on.
    pub(super) fn end_sessions(&self) {
        self.ends_sessions.store(true, Ordering::Relaxed);
    }

    /// Whether sessions are ended on purpose, and the bytes in transit with them.
    pub(super) fn ends_sessions(&self) -> bool {
        self.ends_sessions.load(Ordering::Relaxed)
    }

    /// Holds a socket that should be closed.
    pub(super) fn hold(&self, socket: Arc<Mutex<TcpSocket>>) {
        lock(&self.held).push(socket);
    }

    /// Drops everything that may hold the environment itself.
    pub(super) fn clear(&self) {
        for state in self.hosts.values() {
            let left = std::mem::take(&mut *lock(state));
            drop(left);
        }
        let held = std::mem::take(&mut *lock(&self.held));
        drop(held);
        let streams = std::mem::take(&mut *lock(&self.streams));
        drop(streams);
    }
}
