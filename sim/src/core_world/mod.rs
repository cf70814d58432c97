//! Sessions of `watertight-core`, virtual pipes, and time that jumps to the next deadline.
//!
//! Each agent is joined to its server by links: a pipe of bytes each way, and at each
//! end a session, a model of remotedialer, or somebody hostile. What happens at a moment is carried
//! through until nothing moves any more; then time jumps to the next moment.

mod actions;
mod actor;
mod books;
mod carry;
mod clock;
mod crossing;
mod dial;
mod dice;
mod endpoint;
mod events;
mod farewell;
mod faults;
mod finale;
pub(crate) mod frame;
mod handshake;
mod link;
mod liveness;
mod moves;
mod parting;
mod pipe;
mod remotedialer;
mod say;
mod shutdown;
mod stage;
mod stream;
pub(crate) mod tunnel;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tunnel::{Right, Tunnel};
use world::World;

use crate::invariant::{Invariant, When, check};
use crate::panics;
use crate::schedule::millis;
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
    let world = heap.count(|| World::new(tunnel, schedule, trace));
    let mut run = Run { world, heap };
    let panicked = run.play().is_err();
    let Run { world, mut heap } = run;
    let (seen, now, steps) = (world.stage.seen, world.now().since_epoch(), world.steps);
    let mut violation = world.violation.clone();
    let is_whole = violation.is_none() && !panicked;
    heap.count(|| drop(world));
    if panicked {
        // What it said is known to those who watch.
        let (invariant, what) = (Invariant::NoPanic, "a panic".into());
        violation = Some(Violation { invariant, what, at: now, steps });
    }
    if is_whole && let Err((invariant, what)) = given_back(heap) {
        violation = Some(Violation { invariant, what, at: now, steps });
    }
    Outcome { violation, seen, virtual_time: now }
}

struct Run<'a, T: Tunnel> {
    world: World<'a, T>,
    heap: Heap,
}

type Panic = Box<dyn Any + Send>;

impl<'a, T: Tunnel> Run<'a, T> {
    fn play(&mut self) -> Result<(), Panic> {
        self.piece(World::settle)?;
        for step in &self.world.stage.schedule.steps {
            self.piece(|world| {
                let until = world.stage.now + millis(step.after);
                world.pass(until);
                world.stage.trace.step(world.stage.at(), || step);
                world.steps += 1;
                world.perform(&step.action);
                world.settle();
                world.look_after_step();
            })?;
            if self.world.violation.is_some() {
                return Ok(());
            }
        }
        if self.piece(World::wind_down)? {
            self.piece(|world| {
                world.prove_liveness();
                world.wait_for_quiet();
                world.expect_sessions();
                world.recount();
                world.compact();
            })?;
            self.check(When::Quiet)?;
        }
        self.piece(World::shut_down)?;
        self.check(When::Over)
    }

    /// Runs a piece of the run and counts its heap.
    fn piece<R>(&mut self, piece: impl FnOnce(&mut World<'a, T>) -> R) -> Result<R, Panic>
    where
        R: Default,
    {
        let world = &mut self.world;
        if world.violation.is_some() {
            return Ok(R::default());
        }
        // The panic is caught inside, so that the counting goes on.
        let result = self.heap.count(|| catch_unwind(AssertUnwindSafe(|| piece(world))));
        // What a piece has taken at most is looked at in the next one.
        world.stage.observed.heap = u64::try_from(self.heap.most()).unwrap_or(0);
        result
    }

    fn check(&mut self, when: When) -> Result<(), Panic> {
        let bytes = match when {
            When::Running => self.heap.most(),
            When::Quiet => self.heap.held(),
            // Asked once the world is gone.
            When::Over => 0,
        };
        self.world.stage.observed.heap = u64::try_from(bytes).unwrap_or(0);
        self.piece(|world| world.check(when))
    }
}

/// Whether the run has given back all that it took.
fn given_back(heap: Heap) -> Result<(), (Invariant, String)> {
    let observed = Observed { heap: heap.held().unsigned_abs(), ..Observed::default() };
    check(When::Over, &observed)
}
