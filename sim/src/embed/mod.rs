//! The faults of this simulation for programs of your own.
//!
//! A program around `watertight` can hang, leak and lose on its own. Here it runs on simulated hosts whose
//! links are cut, held, partitioned and slowed down and whose processes die and come back, as a [`Schedule`]
//! requires. Then everything is healed, and the program has to work.
//!
//! Describe it as a [`Program`]: the software of each host, which gets a [`SimulatedHost`] to reach the
//! others, listen, and find out how far the run is. [`Program::explore`] runs it under the faults of many
//! seeds, and returns the first failure with the schedule that shows it; [`Program::run`] replays that.
//!
//! Failures are:
//!
//! - software that returns an error, panics, or does not return in time after the signal to end,
//! - a task of the runtime that outlives the software of its host, a socket that it leaves open,
//! - heap that was taken and never given back,
//! - a line that `watertight` logs as an error.
//!
//! For two runs of a schedule to be the same, software must take its random numbers from
//! [`SimulatedHost::seed`] ([`AgentBuilder::seed`](watertight::AgentBuilder::seed)), its time from tokio, and
//! its sockets from its [`SimulatedHost`]; and build its servers and agents with `unmasked()`, since
//! WebSocket masks have no seed: that takes the feature `simulation` of `watertight`. The tasks on a host
//! that crashes are dropped in no particular order.
//!
//! The example `embedder` is a key-value service that is reached through a tunnel.

mod host;
mod play;
mod shared;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

pub use host::Socket;
pub use host::{Listener, SimulatedHost};

use crate::{Invariant, Outcome, Schedule, Trace, Violation, World};

/// How software ends: with what it found wrong, if it did.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

type Running = Pin<Box<dyn Future<Output = Result>>>;

/// The software of every host of a simulation.
#[derive(Clone)]
pub struct Program {
    parts: Vec<Part>,
    patience: Duration,
}

/// The software of one host.
#[derive(Clone)]
struct Part {
    name: String,
    role: Role,
    software: Rc<dyn Fn(SimulatedHost) -> Running>,
}

/// When software is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// By itself, once everything is healed and it has seen that all works.
    Client,
    /// At the signal that every client has ended.
    Service,
}

/// Faults under which a program fails.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed of the schedule.
    pub seed: u64,
    /// The schedule, of which only the faults count: what links and hosts suffer.
    pub schedule: Schedule,
    /// What went wrong.
    pub violation: Violation,
}

impl Program {
    /// One without hosts.
    #[must_use]
    pub fn new() -> Self {
        Self { parts: Vec::new(), patience: Duration::from_secs(30) }
    }

    /// A host whose software ends by itself, at the earliest when [`SimulatedHost::healed`] resolves, since
    /// nothing is broken any more: by then it can check that everything works. It starts again after a crash.
    /// Schedules break the first one as their server.
    #[must_use]
    pub fn client<F, A>(self, name: &str, software: F) -> Self
    where
        F: Fn(SimulatedHost) -> A + 'static,
        A: Future<Output = Result> + 'static,
    {
        self.host(name, Role::Client, software)
    }

    /// A host whose software ends when [`SimulatedHost::stopped`] resolves: after every client. It starts
    /// again after a crash. Schedules break them as their agents, in the order in which they are given.
    #[must_use]
    pub fn service<F, A>(self, name: &str, software: F) -> Self
    where
        F: Fn(SimulatedHost) -> A + 'static,
        A: Future<Output = Result> + 'static,
    {
        self.host(name, Role::Service, software)
    }

    /// How long clients may take to end once everything is healed, and services after them: 30 s of
    /// virtual time each, unless set. It has to be longer than your program's own deadlines.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs the program under the faults of a schedule. With `trace` on, the trace also has the
    /// [notes](SimulatedHost::note) of the hosts, the log of `watertight` and the messages of the network.
    #[must_use]
    pub fn run(&self, schedule: &Schedule, trace: &Trace) -> Outcome {
        let outcome = play::play(self, schedule, trace);
        let leaks = |violation: &Violation| violation.invariant == Invariant::HeapReturns;
        if !outcome.violation.as_ref().is_some_and(leaks) {
            return outcome;
        }
        // A value that is made once for a thread and kept looks like a leak the first time.
        drop(trace.take());
        play::play(self, schedule, trace)
    }

    /// Runs the program under the faults of each seed. How many there were.
    ///
    /// # Errors
    /// The first failure.
    pub fn explore(&self, seeds: Range<u64>) -> std::result::Result<u64, Box<Failure>> {
        let count = seeds.end.saturating_sub(seeds.start);
        for seed in seeds {
            let schedule = Schedule::generate(seed, World::Turmoil);
            if let Some(violation) = self.run(&schedule, &Trace::off()).violation {
                return Err(Box::new(Failure { seed, schedule, violation }));
            }
        }
        Ok(count)
    }

    fn host<F, A>(mut self, name: &str, role: Role, software: F) -> Self
    where
        F: Fn(SimulatedHost) -> A + 'static,
        A: Future<Output = Result> + 'static,
    {
        let software = Rc::new(move |host| -> Running { Box::pin(software(host)) });
        self.parts.push(Part { name: name.to_string(), role, software });
        self
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.parts.iter().map(|part| (&part.name, part.role)).collect();
        f.debug_struct("Program").field("hosts", &names).finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "under the faults of seed {}: {}", self.seed, self.violation)
    }
}

impl std::error::Error for Failure {}
