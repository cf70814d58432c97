//! Sessions of `watertight-core`, virtual pipes, and time that jumps to the next deadline.
//!
//! Each agent is joined to its server by links: a pipe of bytes in each direction, and at each end a session,
//! a model of remotedialer, or a hostile end. The events of a moment are carried through until nothing moves
//! any more; then time jumps to the next moment.

mod actions;
mod actor;
mod clock;
mod context;
mod events;
mod faults;
pub(crate) mod frame;
mod handshake;
mod host_ledger;
mod link;
mod moves;
mod parting;
mod pipe;
mod quiesce;
mod remotedialer;
pub(crate) mod tunnel;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tunnel::{Right, Tunnel};
use world::CoreWorld;

use crate::invariant::{Invariant, When, check};
use crate::panics;
use crate::phases::{self, Phases};
use crate::schedule::{TrafficEnd, millis};
use crate::{Heap, Observed, Outcome, Schedule, Trace, Violation};

/// Runs a schedule.
pub(crate) fn run(schedule: &Schedule, trace: &Trace) -> Outcome {
    play(&Right, schedule, trace)
}

/// Runs a schedule on a tunnel.
pub(crate) fn play<T: Tunnel>(tunnel: &T, schedule: &Schedule, trace: &Trace) -> Outcome {
    let (outcome, panicked) = panics::watch(|| play_watched(tunnel, schedule, trace));
    let mut outcome = outcome.unwrap_or_default();
    if let (Some(violation), Some(what)) = (&mut outcome.violation, panicked)
        && violation.invariant == Invariant::NoPanic
    {
        violation.what = what;
    }
    outcome
}

fn play_watched<T: Tunnel>(tunnel: &T, schedule: &Schedule, trace: &Trace) -> Outcome {
    let mut heap = Heap::default();
    let world = heap.count(|| CoreWorld::new(tunnel, schedule, trace));
    let mut run = Run { world, heap };
    let panicked = phases::run(&mut run, schedule.traffic_end).is_err();
    let Run { world, mut heap } = run;
    let (seen, now, steps) = (world.context.seen, world.now().since_epoch(), world.steps);
    let mut violation = world.violation.clone();
    let is_whole = violation.is_none() && !panicked;
    heap.count(|| drop(world));
    if panicked {
        // Its message is known to the caller, which watches for panics.
        let (invariant, what) = (Invariant::NoPanic, "a panic".into());
        violation = Some(Violation { invariant, what, at: now, steps });
    }
    if is_whole && let Err((invariant, what)) = given_back(heap) {
        violation = Some(Violation { invariant, what, at: now, steps });
    }
    Outcome { violation, seen, virtual_time: now }
}

struct Run<'a, T: Tunnel> {
    world: CoreWorld<'a, T>,
    heap: Heap,
}

type Panic = Box<dyn Any + Send>;

impl<'a, T: Tunnel> Run<'a, T> {
    /// Runs a piece of the run and counts its heap.
    fn piece<R>(&mut self, piece: impl FnOnce(&mut CoreWorld<'a, T>) -> R) -> Result<R, Panic>
    where
        R: Default,
    {
        let world = &mut self.world;
        if world.violation.is_some() {
            return Ok(R::default());
        }
        // The panic is caught inside, so that counting continues.
        let result = self.heap.count(|| catch_unwind(AssertUnwindSafe(|| piece(world))));
        // The peak of a piece is checked in the next one.
        world.context.observed.heap = u64::try_from(self.heap.most()).unwrap_or(0);
        result
    }

    fn check(&mut self, when: When) -> Result<(), Panic> {
        let bytes = match when {
            When::Running => self.heap.most(),
            When::Quiet => self.heap.held(),
            // Checked once the world is dropped.
            When::Ended => 0,
        };
        self.world.context.observed.heap = u64::try_from(bytes).unwrap_or(0);
        self.piece(|world| world.check(when))
    }
}

impl<T: Tunnel> Phases for Run<'_, T> {
    type Stop = Panic;

    fn traffic(&mut self) -> Result<(), Panic> {
        self.piece(CoreWorld::settle)?;
        for step in &self.world.context.schedule.steps {
            self.piece(|world| {
                let until = world.context.now + millis(step.after);
                world.pass(until);
                world.context.trace.step(world.context.at(), || step);
                world.steps += 1;
                world.perform(&step.action);
                world.settle();
                world.look_after_step();
            })?;
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Panic> {
        self.piece(CoreWorld::heal)
    }

    fn quiesce(&mut self, traffic_end: TrafficEnd) -> Result<(), Panic> {
        self.piece(|world| world.quiesce(traffic_end))
    }

    fn probe(&mut self) -> Result<(), Panic> {
        self.piece(|world| {
            world.prove_liveness();
            world.wait_for_quiet();
            world.expect_sessions();
            world.recount();
            world.compact();
        })?;
        self.check(When::Quiet)
    }

    fn shut_down(&mut self, traffic_end: TrafficEnd) -> Result<(), Panic> {
        if traffic_end == TrafficEnd::Shutdown {
            self.piece(|world| world.check(When::Running))?;
        }
        self.piece(CoreWorld::shut_down)?;
        self.check(When::Ended)
    }
}

/// Whether the run has given back all that it took.
fn given_back(heap: Heap) -> Result<(), (Invariant, String)> {
    let observed = Observed { heap: heap.held().unsigned_abs(), ..Observed::default() };
    check(When::Ended, &observed)
}
