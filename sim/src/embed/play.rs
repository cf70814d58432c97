//! One run of a program, and the faults of its schedule.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use turmoil::Sim;

use super::shared::{PartResult, Shared};
use super::{Program, Role, SimulatedHost};
use crate::schedule::{Action, Host, millis};
use crate::turmoil_world::log;
use crate::turmoil_world::simulation::{heal_links, simulation};
use crate::{Heap, Invariant, Outcome, Schedule, Trace, Violation, panics};

/// As [`Hosts::USUAL`](crate::schedule::Hosts::USUAL) has it; the knobs of hosts are for the turmoil world.
const TICK: Duration = Duration::from_millis(10);

/// How long tasks and sockets may outlive the software of their host.
const GRACE: Duration = Duration::from_secs(10);

/// Runs a program under the faults of a schedule. A panic is a violation.
pub(super) fn play(program: &Program, schedule: &Schedule, trace: &Trace) -> Outcome {
    let slot: Rc<RefCell<Option<Arc<Shared>>>> = Rc::default();
    let listening = Rc::clone(&slot);
    let listener = move |line: log::Line| {
        let shared = listening.borrow().clone();
        if let Some(shared) = shared {
            shared.log(&line);
        }
    };
    let mut progress = (Duration::ZERO, 0);
    let run = || {
        let mut heap = Heap::default();
        let (mut sim, shared) = heap.count(|| make(program, schedule, trace));
        slot.replace(Some(Arc::clone(&shared)));
        let run = Runner { sim: &mut sim, shared: &shared, heap: &mut heap }.run(program.patience);
        slot.take();
        progress = (sim.elapsed(), shared.lock().steps);
        heap.count(|| {
            drop(sim);
            drop(shared);
        });
        run.and_then(|()| match heap.held() {
            held @ 1.. => {
                Err((Invariant::HeapReturns, format!("{held} bytes of heap were never given back")))
            }
            _ => Ok(()),
        })
    };
    let (result, panicked) = panics::watch(|| log::listen(trace.is_on(), listener, run));
    if let Some(shared) = slot.take() {
        let state = shared.lock();
        progress = (state.now, state.steps);
    }
    let (at, steps) = progress;
    let panicked = panicked.map(|what| (Invariant::NoPanic, what));
    let wrong = panicked.or_else(|| result.and_then(Result::err));
    let violation = wrong.map(|(invariant, what)| Violation { invariant, what, at, steps });
    Outcome { violation, virtual_time: at, ..Outcome::default() }
}

fn make(program: &Program, schedule: &Schedule, trace: &Trace) -> (Sim<'static>, Arc<Shared>) {
    let shared = Arc::new(Shared::new(program, schedule, trace));
    let mut sim = simulation(schedule, TICK);
    for (part, (id, name, _)) in program.parts.iter().zip(&shared.names) {
        let host =
            SimulatedHost { name: name.as_str().into(), id: *id, shared: Arc::clone(&shared) };
        let software = Rc::clone(&part.software);
        shared.starts(*id);
        sim.host(name.as_str(), move || {
            let (shared, id) = (Arc::clone(&host.shared), host.id);
            let running = software(host.clone());
            async move {
                shared.lock().runtimes.insert(id, runtime::Handle::current());
                let result = running.await.map_err(|error| error.to_string());
                shared.lock().ended.insert(id, result);
                // Tasks and sockets that it has left behind are still checked.
                std::future::pending().await
            }
        });
        let address = sim.lookup(name.as_str());
        shared.lock().addresses.insert(address, *id);
    }
    (sim, shared)
}

struct Runner<'a> {
    sim: &'a mut Sim<'static>,
    shared: &'a Arc<Shared>,
    heap: &'a mut Heap,
}

impl Runner<'_> {
    fn run(mut self, patience: Duration) -> PartResult {
        let result = self.run_through(patience);
        // Handles to the runtimes are not part of what the program holds.
        let runtimes = std::mem::take(&mut self.shared.lock().runtimes);
        self.heap.count(|| drop(runtimes));
        result
    }

    fn run_through(&mut self, patience: Duration) -> PartResult {
        self.suffer()?;
        let shared = Arc::clone(self.shared);
        shared.trace.step(self.sim.elapsed(), || "everything is healed");
        self.heap.count(|| heal(self.sim, &shared));
        shared.healed.send_replace(true);
        self.wait_for(Role::Client, patience)?;
        shared.trace.step(self.sim.elapsed(), || "services are asked to end");
        shared.stopped.send_replace(true);
        self.wait_for(Role::Service, patience)?;
        let until = self.sim.elapsed() + GRACE;
        while let Err(left) = self.shared.nothing_left() {
            if self.sim.elapsed() >= until {
                return Err(left);
            }
            self.tick()?;
        }
        Ok(())
    }

    /// Performs the faults.
    fn suffer(&mut self) -> PartResult {
        let shared = Arc::clone(self.shared);
        let mut due = Duration::ZERO;
        for (id, step) in shared.schedule.steps.iter().enumerate() {
            due += millis(step.after);
            while self.sim.elapsed() < due {
                self.tick()?;
            }
            if shared.suffers(&step.action) {
                shared.trace.step(self.sim.elapsed(), || step.action.to_string());
                self.heap.count(|| perform(self.sim, &shared, &step.action));
            }
            shared.lock().steps = id + 1;
        }
        Ok(())
    }

    /// Lets time pass until all software of this role has ended.
    fn wait_for(&mut self, role: Role, patience: Duration) -> PartResult {
        let until = self.sim.elapsed() + patience;
        while let Some(name) = self.shared.running(role) {
            if self.sim.elapsed() >= until {
                return Err((Invariant::Progress, format!("{name} does not end in {patience:?}")));
            }
            self.tick()?;
        }
        Ok(())
    }

    fn tick(&mut self) -> PartResult {
        let passed = self.heap.count(|| self.sim.step().map_err(|error| error.to_string()));
        passed.map_err(|error| (Invariant::Progress, error))?;
        let mut state = self.shared.lock();
        state.now = self.sim.elapsed();
        if let Some(error) = state.errors.first() {
            return Err((Invariant::NoErrorLogged, error.clone()));
        }
        drop(state);
        self.shared.no_failure()
    }
}

/// Performs a step, if it is a fault of hosts that exist.
pub(super) fn perform(sim: &mut Sim<'_>, shared: &Shared, action: &Action) {
    match *action {
        Action::Crash { host } => {
            if let Some(name) = shared.name(host) {
                crash(sim, shared, host, name);
            }
        }
        Action::Bounce { host } => {
            if let Some(name) = shared.name(host) {
                crash(sim, shared, host, name);
                start(sim, shared, host, name);
            }
        }
        Action::Cut { by } => {
            let lines = shared.lines_by(by);
            lines.iter().for_each(|line| line.cut());
        }
        Action::Partition { a, b } => link(shared, a, b, |a, b| sim.partition(a, b)),
        Action::PartitionOneWay { from, to } => {
            link(shared, from, to, |from, to| sim.partition_oneway(from, to));
        }
        Action::Repair { a, b } => link(shared, a, b, |a, b| sim.repair(a, b)),
        Action::Hold { a, b } => link(shared, a, b, |a, b| sim.hold(a, b)),
        Action::Release { a, b } => link(shared, a, b, |a, b| sim.release(a, b)),
        Action::Latency { a, b, millis: latency } => {
            link(shared, a, b, |a, b| sim.set_link_latency(a, b, millis(latency)));
        }
        // The rest is what the program does.
        _ => {}
    }
}

/// Ends all faults, and starts the hosts that have crashed.
pub(super) fn heal(sim: &mut Sim<'_>, shared: &Shared) {
    let names: Vec<_> = shared.hosts().map(|(_, name)| name).collect();
    heal_links(sim, &names);
    for (host, name) in shared.hosts() {
        if shared.is_crashed(host) {
            start(sim, shared, host, name);
        }
    }
}

fn link(shared: &Shared, a: Host, b: Host, act: impl FnOnce(&str, &str)) {
    if let (Some(a), Some(b)) = (shared.name(a), shared.name(b)) {
        act(a, b);
    }
}

fn crash(sim: &mut Sim<'_>, shared: &Shared, host: Host, name: &str) {
    sim.crash(name);
    shared.crashed(host);
}

fn start(sim: &mut Sim<'_>, shared: &Shared, host: Host, name: &str) {
    shared.starts(host);
    sim.bounce(name);
}
