//! One run of a program.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use turmoil::Sim;

use super::fault::{heal, perform};
use super::stage::Stage;
use super::{Host, Program, Role};
use crate::panics;
use crate::schedule::millis;
use crate::turmoil_world::log;
use crate::turmoil_world::simulation::simulation;
use crate::{Heap, Invariant, Outcome, Schedule, Trace, Violation};

/// As [`Hosts::USUAL`](crate::schedule::Hosts::USUAL) has it; the knobs of hosts are for the turmoil world.
const TICK: Duration = Duration::from_millis(10);

/// How long tasks and sockets may outlive the software of their host.
const GRACE: Duration = Duration::from_secs(10);

pub(super) type Run<T = ()> = Result<T, (Invariant, String)>;

/// Runs a program under the faults of a schedule. A panic is a violation.
pub(super) fn play(program: &Program, schedule: &Schedule, trace: &Trace) -> Outcome {
    let slot: Rc<RefCell<Option<Arc<Stage>>>> = Rc::default();
    let listening = Rc::clone(&slot);
    let listener = move |line: log::Line| {
        let stage = listening.borrow().clone();
        if let Some(stage) = stage {
            stage.hear(&line);
        }
    };
    let mut progress = (Duration::ZERO, 0);
    let run = || {
        let mut heap = Heap::default();
        let (mut sim, stage) = heap.count(|| make(program, schedule, trace));
        slot.replace(Some(Arc::clone(&stage)));
        let run = Runner { sim: &mut sim, stage: &stage, heap: &mut heap }.run(program.patience);
        slot.take();
        progress = (sim.elapsed(), stage.lock().steps);
        heap.count(|| {
            drop(sim);
            drop(stage);
        });
        run.and_then(|()| match heap.held() {
            held @ 1.. => {
                Err((Invariant::HeapReturns, format!("{held} bytes of heap were never given back")))
            }
            _ => Ok(()),
        })
    };
    let (result, panicked) = panics::watch(|| log::listen(trace.is_on(), listener, run));
    if let Some(stage) = slot.take() {
        let state = stage.lock();
        progress = (state.now, state.steps);
    }
    let (at, steps) = progress;
    let panicked = panicked.map(|what| (Invariant::NoPanic, what));
    let wrong = panicked.or_else(|| result.and_then(Result::err));
    let violation = wrong.map(|(invariant, what)| Violation { invariant, what, at, steps });
    Outcome { violation, virtual_time: at, ..Outcome::default() }
}

fn make(program: &Program, schedule: &Schedule, trace: &Trace) -> (Sim<'static>, Arc<Stage>) {
    let stage = Arc::new(Stage::new(program, schedule, trace));
    let mut sim = simulation(schedule, TICK);
    for (part, (place, name, _)) in program.parts.iter().zip(&stage.names) {
        let host = Host { name: name.as_str().into(), place: *place, stage: Arc::clone(&stage) };
        let software = Rc::clone(&part.software);
        stage.starts(*place);
        sim.host(name.as_str(), move || {
            let (stage, place) = (Arc::clone(&host.stage), host.place);
            let running = software(host.clone());
            async move {
                stage.lock().runtimes.insert(place, runtime::Handle::current());
                let result = running.await.map_err(|error| error.to_string());
                stage.lock().ended.insert(place, result);
                // What it has left behind is still looked after.
                std::future::pending().await
            }
        });
        let address = sim.lookup(name.as_str());
        stage.lock().addresses.insert(address, *place);
    }
    (sim, stage)
}

struct Runner<'a> {
    sim: &'a mut Sim<'static>,
    stage: &'a Arc<Stage>,
    heap: &'a mut Heap,
}

impl Runner<'_> {
    fn run(mut self, patience: Duration) -> Run {
        let result = self.run_through(patience);
        // Handles to the runtimes are not part of what the program holds.
        let runtimes = std::mem::take(&mut self.stage.lock().runtimes);
        self.heap.count(|| drop(runtimes));
        result
    }

    fn run_through(&mut self, patience: Duration) -> Run {
        self.suffer()?;
        let stage = Arc::clone(self.stage);
        stage.trace.step(self.sim.elapsed(), || "everything is healed");
        self.heap.count(|| heal(self.sim, &stage));
        stage.healed.send_replace(true);
        self.wait_for(Role::Client, patience)?;
        stage.trace.step(self.sim.elapsed(), || "services are told to end");
        stage.stopped.send_replace(true);
        self.wait_for(Role::Service, patience)?;
        let until = self.sim.elapsed() + GRACE;
        while let Err(left) = self.stage.nothing_left() {
            if self.sim.elapsed() >= until {
                return Err(left);
            }
            self.tick()?;
        }
        Ok(())
    }

    /// Performs the faults.
    fn suffer(&mut self) -> Run {
        let stage = Arc::clone(self.stage);
        let mut due = Duration::ZERO;
        for (place, step) in stage.schedule.steps.iter().enumerate() {
            due += millis(step.after);
            while self.sim.elapsed() < due {
                self.tick()?;
            }
            if stage.suffers(&step.action) {
                stage.trace.step(self.sim.elapsed(), || step.action.to_string());
                self.heap.count(|| perform(self.sim, &stage, &step.action));
            }
            stage.lock().steps = place + 1;
        }
        Ok(())
    }

    /// Lets time pass until all software of this role has ended.
    fn wait_for(&mut self, role: Role, patience: Duration) -> Run {
        let until = self.sim.elapsed() + patience;
        while let Some(name) = self.stage.running(role) {
            if self.sim.elapsed() >= until {
                return Err((Invariant::Progress, format!("{name} does not end in {patience:?}")));
            }
            self.tick()?;
        }
        Ok(())
    }

    fn tick(&mut self) -> Run {
        let passed = self.heap.count(|| self.sim.step().map_err(|error| error.to_string()));
        passed.map_err(|error| (Invariant::Progress, error))?;
        let mut state = self.stage.lock();
        state.now = self.sim.elapsed();
        if let Some(error) = state.errors.first() {
            return Err((Invariant::NoErrorLogged, error.clone()));
        }
        drop(state);
        self.stage.no_failure()
    }
}
