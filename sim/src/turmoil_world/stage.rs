//! What the hosts of a run and its runner share. All of it runs on one thread.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::books::Desk;
use super::command::Command;
use super::deviation::Deviation;
use super::door::Door;
use super::line::{Line, Lines};
use super::socket::Socket;
use super::stream::Stream;
use crate::observed::HostBooks;
use crate::schedule::{Agent, Host, Schedule, StreamId};
use crate::situation::{Seen, Situation};
use crate::trace::Trace;

/// What the hosts of a run and its runner share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) schedule: Schedule,
    pub(super) trace: Trace,
    pub(super) deviation: Deviation,
    lines: Mutex<Lines>,
    door: Mutex<Door>,
    streams: Mutex<BTreeMap<StreamId, Arc<Stream>>>,
    hosts: BTreeMap<Host, Mutex<Desk>>,
    addresses: Mutex<BTreeMap<IpAddr, Host>>,
    /// The books of software that has shut down, to be looked at once.
    closed: Mutex<Vec<HostBooks>>,
    contradictions: Mutex<Vec<String>>,
    errors: Mutex<Vec<String>>,
    seen: Mutex<Seen>,
    now: Mutex<Duration>,
    steps: AtomicUsize,
    attempts: AtomicU64,
    is_silent: AtomicBool,
    /// Sessions are ended on purpose.
    parts: AtomicBool,
    /// What a specimen does not close.
    held: Mutex<Vec<Arc<Mutex<Socket>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub(super) fn new(schedule: &Schedule, trace: &Trace, deviation: Deviation) -> Self {
        let servers = (0..schedule.cast.servers).map(Host::Server);
        let agents = (0_u8..).zip(&schedule.cast.agents).map(|(number, _)| Host::Agent(number));
        let strangers = schedule.has_strangers().then_some(Host::Strangers);
        let hosts = servers.chain(agents).chain(strangers);
        Self {
            hosts: hosts.map(|host| (host, Mutex::default())).collect(),
            schedule: schedule.clone(),
            trace: trace.clone(),
            deviation,
            lines: Mutex::default(),
            door: Mutex::default(),
            streams: Mutex::default(),
            addresses: Mutex::default(),
            closed: Mutex::default(),
            contradictions: Mutex::default(),
            errors: Mutex::default(),
            seen: Mutex::default(),
            now: Mutex::default(),
            steps: AtomicUsize::default(),
            attempts: AtomicU64::default(),
            is_silent: AtomicBool::default(),
            parts: AtomicBool::default(),
            held: Mutex::default(),
        }
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = Host> + '_ {
        self.hosts.keys().copied()
    }

    pub(super) fn agent(&self, number: u8) -> Option<&Agent> {
        self.schedule.cast.agents.get(usize::from(number))
    }

    /// Whether a host does what it should: servers do.
    pub(super) fn is_honest(&self, host: Host) -> bool {
        match host {
            Host::Server(_) => true,
            Host::Agent(number) => self.agent(number).is_some_and(|agent| agent.kind.is_honest()),
            Host::Strangers => false,
        }
    }

    /// Runs `act` at the desk of a host, if the cast has it.
    pub(super) fn at<T>(&self, host: Host, act: impl FnOnce(&mut Desk) -> T) -> Option<T> {
        self.hosts.get(&host).map(|desk| act(&mut lock(desk)))
    }

    /// Where the software of a host that starts is told what to do.
    pub(super) fn open(&self, host: Host) -> UnboundedReceiver<Command> {
        let (sender, receiver) = unbounded_channel();
        self.at(host, |desk| desk.commands = Some(sender));
        receiver
    }

    /// Tells a host's software something, if it runs.
    pub(super) fn tell(&self, host: Host, command: Command) {
        let commands = self.at(host, |desk| desk.commands.clone()).flatten();
        if let Some(commands) = commands {
            // One that has crashed does not hear it.
            commands.send(command).ok();
        }
    }

    pub(super) fn set_steps(&self, steps: usize) {
        self.steps.store(steps, Ordering::Relaxed);
    }

    /// Steps that were performed.
    pub(super) fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    /// Somebody tries to connect.
    pub(super) fn count_attempt(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often somebody tried to connect.
    pub(super) fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn set_address(&self, address: IpAddr, host: Host) {
        lock(&self.addresses).insert(address, host);
    }

    pub(super) fn host_at(&self, address: IpAddr) -> Option<Host> {
        lock(&self.addresses).get(&address).copied()
    }

    pub(super) fn lines(&self) -> MutexGuard<'_, Lines> {
        lock(&self.lines)
    }

    pub(super) fn door(&self) -> MutexGuard<'_, Door> {
        lock(&self.door)
    }

    pub(super) fn line(&self, by: Host, to: Host) -> Line {
        let link = &self.schedule.knobs.link;
        // As in the core world, those of agents that behave are slow.
        let rate = if matches!(by, Host::Agent(_)) && self.is_honest(by) { link.rate } else { 0 };
        Line::new(by, to, link.capacity.max(1) as usize, NonZeroU32::new(rate))
    }

    pub(super) fn add_stream(&self, stream: Stream) -> Arc<Stream> {
        let stream = Arc::new(stream);
        lock(&self.streams).insert(stream.id, Arc::clone(&stream));
        stream
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<Arc<Stream>> {
        lock(&self.streams).get(&id).cloned()
    }

    /// The stream whose target this is.
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

    pub(super) fn note(&self, situation: Situation) {
        lock(&self.seen).note(situation);
    }

    pub(super) fn note_if(&self, is_so: bool, situation: Situation) {
        if is_so {
            self.note(situation);
        }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    pub(super) fn close(&self, books: HostBooks) {
        lock(&self.closed).push(books);
    }

    pub(super) fn take_closed(&self) -> Vec<HostBooks> {
        std::mem::take(&mut *lock(&self.closed))
    }

    pub(super) fn contradict(&self, what: String) {
        lock(&self.contradictions).push(what);
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        lock(&self.contradictions).clone()
    }

    pub(super) fn log_error(&self, line: String) {
        lock(&self.errors).push(line);
    }

    pub(super) fn errors(&self) -> Vec<String> {
        lock(&self.errors).clone()
    }

    /// Virtual time: inside of a host to the moment, outside to the tick.
    pub(super) fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_else(|| *lock(&self.now))
    }

    pub(super) fn set_now(&self, now: Duration) {
        *lock(&self.now) = now;
    }

    /// Tells the story of a host.
    pub(super) fn tale<T: ToString>(&self, host: Host, what: impl FnOnce() -> T) {
        if self.trace.is_on() && !self.is_silent() {
            self.trace.note(self.now(), host, what);
        }
    }

    /// Holds a socket that should be closed.
    pub(super) fn hold_on(&self, socket: Arc<Mutex<Socket>>) {
        lock(&self.held).push(socket);
    }

    /// Sessions are ended from now on.
    pub(super) fn part(&self) {
        self.parts.store(true, Ordering::Relaxed);
    }

    /// Whether sessions are ended on purpose, which takes what is under way with it.
    pub(super) fn parts(&self) -> bool {
        self.parts.load(Ordering::Relaxed)
    }

    /// Nothing more is told.
    pub(super) fn be_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    /// Lets go of everything: what it holds may hold it.
    pub(super) fn clear(&self) {
        for desk in self.hosts.values() {
            let left = std::mem::take(&mut *lock(desk));
            drop(left);
        }
        let held = std::mem::take(&mut *lock(&self.held));
        drop(held);
        let streams = std::mem::take(&mut *lock(&self.streams));
        drop(streams);
    }
}
