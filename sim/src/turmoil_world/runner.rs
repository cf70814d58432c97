//! Runs a world from its first tick to its last, and shows it to the invariants.

use std::sync::Arc;
use std::time::Duration;

use super::admission::kept_out;
use super::environment::Environment;
use super::ledger::ledger;
use super::network::Network;
use super::session_events::out_of_step;
use super::stream::Stream;
use super::unauthenticated::length;
use crate::Heap;
use crate::invariant::{self, Invariant, When};
use crate::observed::Observed;
use crate::schedule::{Action, Schedule};
use crate::situation::Situation;
use crate::violation::Violation;

/// Ticks between two checks of a world without steps. A check costs a quarter of a tick.
const TICKS_UNSEEN: u32 = 4;

/// A world in the middle of its run.
pub(super) struct Runner {
    pub(super) network: Network,
    pub(super) env: Arc<Environment>,
    pub(super) heap: Heap,
    /// Ticks since the last check.
    unseen: u32,
}

pub(super) type RunResult<T = ()> = Result<T, Violation>;

impl Runner {
    /// Makes the world, and counts what it takes.
    pub(super) fn new(make: impl FnOnce() -> Environment) -> Self {
        let mut heap = Heap::default();
        let (network, env) = heap.count(|| {
            let env = Arc::new(make());
            (Network::new(&env), env)
        });
        Self { network, env, heap, unseen: 0 }
    }

    /// Lets a tick pass, and checks the world at intervals.
    pub(super) fn tick(&mut self) -> RunResult {
        let network = &mut self.network;
        let passed = self.heap.count(|| network.tick());
        passed.map_err(|error| self.violation(Invariant::Progress, error))?;
        self.unseen += 1;
        if self.unseen < TICKS_UNSEEN { Ok(()) } else { self.check(When::Running) }
    }

    /// Lets time pass until it is so, but at most so long. Whether it is so.
    pub(super) fn wait(
        &mut self,
        most: Duration,
        is_so: impl Fn(&Environment) -> bool,
    ) -> RunResult<bool> {
        let until = self.network.now() + most;
        loop {
            let env = &self.env;
            if self.heap.count(|| is_so(env)) {
                return Ok(true);
            }
            if self.network.now() >= until {
                return Ok(false);
            }
            self.tick()?;
        }
    }

    /// Lets time pass until sessions that ended have closed their sockets, for at most so long: they send
    /// close messages to remotes that may have left.
    pub(super) fn wait_for_memory(&mut self, most: Duration) -> RunResult {
        let until = self.network.now() + most;
        let bound = i64::try_from(at_rest(&self.env)).unwrap_or(i64::MAX);
        while self.heap.held() > bound && self.network.now() < until {
            self.tick()?;
        }
        Ok(())
    }

    /// Checks the invariants. The heap of the check counts: sessions that have ended are dropped when their
    /// ledger is read.
    pub(super) fn check(&mut self, when: When) -> RunResult {
        self.unseen = 0;
        let (env, heap) = (&self.env, self.heap);
        let result = self.heap.count(|| {
            invariant::check(when, &observe(when, env, heap))?;
            let closed = observe_closed(env);
            if closed.hosts.is_empty() { Ok(()) } else { invariant::check(When::Ended, &closed) }
        });
        result.map_err(|(invariant, what)| self.violation(invariant, what))
    }

    pub(super) fn stuck(&self, what: String) -> Violation {
        self.violation(Invariant::Progress, what)
    }

    pub(super) fn violation(&self, invariant: Invariant, what: String) -> Violation {
        Violation { invariant, what, at: self.network.now(), steps: self.env.recorder.steps() }
    }

    /// Drops the world, after which nothing of it may be left.
    pub(super) fn end(self) -> RunResult {
        let Self { network, env, mut heap, .. } = self;
        let (at, steps) = (network.now(), env.recorder.steps());
        heap.count(|| {
            env.clear();
            drop(network);
            drop(env);
        });
        let observed = Observed {
            heap: u64::try_from(heap.held()).unwrap_or(0),
            contradictions: overdrawn(heap).into_iter().collect(),
            ..Observed::default()
        };
        invariant::check(When::Ended, &observed).map_err(|(invariant, what)| Violation {
            invariant,
            what,
            at,
            steps,
        })
    }
}

/// Adds the state of a stream to the trace.
pub(super) fn trace_state(env: &Environment, stream: &Stream) {
    env.recorder.trace.step(env.recorder.now(), || format!("{:?}", stream.record(env.promise())));
}

/// The heap of a host that has nothing to do, and of each session, in the library and in turmoil: measured,
/// and doubled. Buffers come and go with the traffic.
const AT_REST: u64 = 320 << 10;

/// What turmoil keeps of a connection that did not come about.
const ATTEMPT: u64 = 2 << 10;

/// The memory that turmoil's queues keep for a segment that was once in transit: they double, and a host has
/// some of a connection that has ended.
const SEGMENT: u64 = 512;

/// The heap of a run beside the limits: the hosts' runtimes, handshakes, read buffers, and bytes on links
/// that nobody reads. Measured at its peak, and doubled.
const WORKING: u64 = 4 << 20;

/// Memory that a thread may have kept of an earlier run, and gives back in this one.
const NOISE: i64 = 4 << 10;

/// What may be held when it is quiet.
pub(super) fn at_rest(env: &Environment) -> u64 {
    let link = &env.plan.schedule.knobs.link;
    let portion = u64::from(link.portion.max(1));
    let host = AT_REST + SEGMENT * u64::from(link.capacity) / portion;
    let queued = SEGMENT * written(&env.plan.schedule) / portion;
    host * env.plan.hosts().count() as u64 + queued + ATTEMPT * env.attempts()
}

/// What may be held while it runs.
fn working(env: &Environment) -> u64 {
    let portion = u64::from(env.plan.schedule.knobs.link.portion.max(1));
    let under_way = unauthenticated_bytes(&env.plan.schedule);
    WORKING + ATTEMPT * env.attempts() + under_way + SEGMENT * under_way / portion
}

/// The most bytes of unauthenticated remotes in transit: the opening of each of their sockets, and as a
/// server two for each agent, of which one has ended.
fn unauthenticated_bytes(schedule: &Schedule) -> u64 {
    let agents = schedule.cast.agents.len() as u64;
    let said = schedule.steps.iter().map(|step| match &step.action {
        Action::UnauthenticatedConnect { sockets, opening, .. } => {
            u64::from(*sockets) * length(opening)
        }
        Action::Impersonate { opening, .. } => 2 * agents * length(opening),
        _ => 0,
    });
    said.sum()
}

/// The bytes that the applications write: for a host that is dead, turmoil queues all of them, beyond the
/// capacity of a socket.
fn written(schedule: &Schedule) -> u64 {
    let written = schedule.steps.iter().map(|step| match step.action {
        Action::Write { bytes, .. } => u64::from(bytes),
        _ => 0,
    });
    written.sum()
}

/// The present observation for the invariants.
pub(super) fn observe(when: When, env: &Environment, heap: Heap) -> Observed {
    let hosts = env.plan.hosts().filter_map(|host| ledger(env, host));
    let hosts: Vec<_> = hosts.collect();
    let streams = env.streams();
    note(env, &streams);
    let promise = env.promise();
    let mut contradictions = env.recorder.contradictions();
    if when != When::Running {
        contradictions.extend(unended(env));
        contradictions.extend(out_of_step(env));
    }
    contradictions.extend(overdrawn(heap));
    contradictions.extend(streams.iter().find_map(|stream| stream.wrong()));
    Observed {
        now: env.recorder.now(),
        streams: streams.iter().map(|stream| stream.record(promise)).collect(),
        heap: u64::try_from(heap.held()).unwrap_or(0),
        heap_peak: u64::try_from(heap.most()).unwrap_or(0),
        heap_bound: working(env),
        heap_at_rest: at_rest(env),
        hosts,
        contradictions,
        without_share: Vec::new(),
        errors_logged: env.recorder.errors(),
        stuck: overdue(env, &streams).into_iter().collect(),
        kept_out: kept_out(env).into_iter().collect(),
        unauthenticated: env.remotes().allowed_too_much(env.recorder.now()).into_iter().collect(),
    }
}

/// The delay of a read's timeout: a tick or two, and the time between two checks.
const LATE: Duration = Duration::from_millis(200);

fn overdue(env: &Environment, streams: &[Arc<Stream>]) -> Option<String> {
    let moment = env.recorder.now().checked_sub(LATE)?;
    let stream = streams.iter().find(|stream| stream.is_overdue(moment))?;
    Some(format!("a read of {} waits beyond its deadline", stream.id))
}

/// More was given back than was ever taken: the heap would seem to be less than it is.
pub(super) fn overdrawn(heap: Heap) -> Option<String> {
    (heap.held() < -NOISE).then(|| format!("{} bytes of heap are held", heap.held()))
}

/// How many first windows are much.
const MANY_WINDOWS: u64 = 8;

fn note(env: &Environment, streams: &[Arc<Stream>]) {
    let knobs = &env.plan.schedule.knobs;
    let much =
        MANY_WINDOWS * u64::from(knobs.server.initial_window.max(knobs.agent.initial_window));
    for stream in streams {
        stream.note_waiting();
        env.recorder.note_if(stream.is_unread(), Situation::ReaderStopped);
        env.recorder.note_if(stream.moved(much), Situation::MuchMoved);
        env.recorder.note_if(stream.was_answered(), Situation::AnswerAfterFinish);
    }
}

fn unended(env: &Environment) -> Option<String> {
    env.plan.hosts().find_map(|host| match env.with_host(host, |state| state.unended()) {
        Some(count @ 1..) => Some(format!("{host} never reported the end of {count} sessions")),
        _ => None,
    })
}

/// The same for software that has shut down in order, once each.
pub(super) fn observe_closed(env: &Environment) -> Observed {
    Observed { now: env.recorder.now(), hosts: env.recorder.take_closed(), ..Observed::default() }
}
