//! Runs a world from its first tick to its last, and looks at it on the way.

use std::sync::Arc;
use std::time::Duration;

use super::network::Network;
use super::observe::{at_rest, observe, observe_closed, overdrawn};
use super::stage::Stage;
use super::steps::perform;
use crate::Heap;
use crate::invariant::{self, Invariant, When};
use crate::observed::Observed;
use crate::schedule::millis;
use crate::violation::Violation;

/// So many ticks pass between two looks at a world that nothing is done to. A look costs a quarter of a tick.
const TICKS_UNSEEN: u32 = 4;

/// A world in the middle of its run.
pub(super) struct Runner {
    pub(super) network: Network,
    pub(super) stage: Arc<Stage>,
    pub(super) heap: Heap,
    /// Ticks since the invariants were last asked.
    unseen: u32,
}

pub(super) type Run<T = ()> = Result<T, Violation>;

impl Runner {
    /// Makes the world, and counts what it takes.
    pub(super) fn new(make: impl FnOnce() -> Stage) -> Self {
        let mut heap = Heap::default();
        let (network, stage) = heap.count(|| {
            let stage = Arc::new(make());
            (Network::new(&stage), stage)
        });
        Self { network, stage, heap, unseen: 0 }
    }

    /// Performs the steps.
    pub(super) fn play(&mut self) -> Run {
        let mut due = Duration::ZERO;
        for place in 0..self.stage.schedule.steps.len() {
            let stage = Arc::clone(&self.stage);
            let Some(step) = stage.schedule.steps.get(place) else { break };
            due += millis(step.after);
            while self.network.now() < due {
                self.tick()?;
            }
            stage.trace.step(self.network.now(), || step.action.to_string());
            let (network, heap) = (&mut self.network, &mut self.heap);
            heap.count(|| perform(network, &stage, &step.action));
            stage.set_steps(place + 1);
            self.check(When::Running)?;
        }
        self.tick()
    }

    /// Lets a tick pass, and now and then looks at what has become of the world.
    pub(super) fn tick(&mut self) -> Run {
        let network = &mut self.network;
        let passed = self.heap.count(|| network.tick());
        passed.map_err(|error| self.violation(Invariant::Progress, error))?;
        self.unseen += 1;
        if self.unseen < TICKS_UNSEEN { Ok(()) } else { self.check(When::Running) }
    }

    /// Lets time pass until it is so, but at most so long. Whether it is so.
    pub(super) fn wait(&mut self, most: Duration, is_so: impl Fn(&Stage) -> bool) -> Run<bool> {
        let until = self.network.now() + most;
        loop {
            let stage = &self.stage;
            if self.heap.count(|| is_so(stage)) {
                return Ok(true);
            }
            if self.network.now() >= until {
                return Ok(false);
            }
            self.tick()?;
        }
    }

    /// Lets time pass until sessions that ended have let go of their sockets, for at most so long: they
    /// say goodbye to ends that may be gone.
    pub(super) fn wait_for_memory(&mut self, most: Duration) -> Run {
        let until = self.network.now() + most;
        let bound = i64::try_from(at_rest(&self.stage)).unwrap_or(i64::MAX);
        while self.heap.held() > bound && self.network.now() < until {
            self.tick()?;
        }
        Ok(())
    }

    /// Asks the invariants. What that takes and gives back counts: sessions that have ended are let
    /// go of when somebody looks at the books.
    pub(super) fn check(&mut self, when: When) -> Run {
        self.unseen = 0;
        let (stage, heap) = (&self.stage, self.heap);
        let result = self.heap.count(|| {
            invariant::check(when, &observe(when, stage, heap))?;
            let closed = observe_closed(stage);
            if closed.hosts.is_empty() { Ok(()) } else { invariant::check(When::Over, &closed) }
        });
        result.map_err(|(invariant, what)| self.violation(invariant, what))
    }

    pub(super) fn stuck(&self, what: String) -> Violation {
        self.violation(Invariant::Progress, what)
    }

    pub(super) fn violation(&self, invariant: Invariant, what: String) -> Violation {
        Violation { invariant, what, at: self.network.now(), steps: self.stage.steps() }
    }

    /// Drops the world, after which nothing of it may be left.
    pub(super) fn end(self) -> Run {
        let Self { network, stage, mut heap, .. } = self;
        let (at, steps) = (network.now(), stage.steps());
        heap.count(|| {
            stage.clear();
            drop(network);
            drop(stage);
        });
        let observed = Observed {
            heap: u64::try_from(heap.held()).unwrap_or(0),
            contradictions: overdrawn(heap).into_iter().collect(),
            ..Observed::default()
        };
        invariant::check(When::Over, &observed).map_err(|(invariant, what)| Violation {
            invariant,
            what,
            at,
            steps,
        })
    }
}
