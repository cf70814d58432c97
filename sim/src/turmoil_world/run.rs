//! A run of a schedule, with its log in the trace.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::environment::Environment;
use super::log::{self, Line, tell_of_network};
use super::plan::Deviation;
use super::runner::{RunResult, Runner};
use crate::invariant::Invariant;
use crate::violation::Violation;
use crate::{Outcome, Schedule, Trace, panics, phases};

/// Runs a schedule on turmoil's hosts.
pub(crate) fn run(schedule: &Schedule, trace: &Trace) -> Outcome {
    run_with(schedule, trace, Deviation::None)
}

/// Runs a schedule on software that differs from the product.
pub(crate) fn run_with(schedule: &Schedule, trace: &Trace, deviation: Deviation) -> Outcome {
    let outcome = play(schedule, trace, deviation);
    let leaked = outcome
        .violation
        .as_ref()
        .is_some_and(|violation| violation.invariant == Invariant::HeapReturns);
    if !leaked {
        return outcome;
    }
    // A value that is made once for a thread and kept looks like a leak the first time.
    drop(trace.take());
    play(schedule, trace, deviation)
}

/// Runs a schedule, with the log in the trace. A panic is a violation.
fn play(schedule: &Schedule, trace: &Trace, deviation: Deviation) -> Outcome {
    let env: Rc<RefCell<Option<Arc<Environment>>>> = Rc::default();
    let listening = Rc::clone(&env);
    let listener = move |line| {
        let env = listening.borrow().clone();
        if let Some(env) = env {
            receive(&env, &line);
        }
    };
    let run = || {
        let mut runner = Runner::new(|| Environment::new(schedule, trace, deviation));
        env.replace(Some(Arc::clone(&runner.env)));
        let result = phases::run(&mut runner, schedule.traffic_end);
        env.take();
        conclude(runner, result)
    };
    let (outcome, panicked) = panics::watch(|| log::listen(trace.is_on(), listener, run));
    // It is there only if it panicked.
    let env = env.take();
    let mut outcome = outcome.unwrap_or_default();
    if let Some(what) = panicked {
        let steps = env.as_ref().map_or(0, |env| env.recorder.steps());
        if let Some(env) = &env {
            (outcome.seen, outcome.virtual_time) = (*env.recorder.situations(), env.recorder.now());
        }
        let at = outcome.virtual_time;
        outcome.violation = Some(Violation { invariant: Invariant::NoPanic, what, at, steps });
    }
    outcome
}

fn conclude(runner: Runner, result: RunResult) -> Outcome {
    let seen = *runner.env.recorder.situations();
    let virtual_time = runner.network.now();
    let ended = runner.end();
    Outcome { violation: result.and(ended).err(), seen, virtual_time }
}

fn receive(env: &Environment, line: &Line) {
    if line.is_error {
        env.recorder.log_error(line.to_string());
    }
    if !env.recorder.trace.is_on() || env.recorder.is_trace_stopped() {
        return;
    }
    if tell_of_network(&env.recorder.trace, env.recorder.now(), line, |address| {
        env.host_at(address)
    }) {
        return;
    }
    let node = line.node.as_deref();
    match node.and_then(|node| env.plan.hosts().find(|host| host.to_string() == node)) {
        Some(host) => env.recorder.trace_host(host, || format!("log: {line}")),
        None => env.recorder.trace.step(env.recorder.now(), || format!("log: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::{When, check};
    use crate::turmoil_world::runner::observe;
    use crate::{Heap, World};

    fn logged(trace: &Trace, log: fn()) -> Result<(), (Invariant, String)> {
        let schedule = Schedule::generate(0, World::Turmoil);
        let env = Arc::new(Environment::new(&schedule, trace, Deviation::None));
        let listening = Arc::clone(&env);
        log::listen(trace.is_on(), move |line| receive(&listening, &line), log);
        check(When::Running, &observe(When::Running, &env, Heap::default()))
    }

    #[test]
    fn an_error_of_the_library_is_a_violation_and_a_warning_is_none() {
        for trace in [Trace::off(), Trace::on()] {
            let warns = || tracing::warn!(target: "watertight::server", "it is slow");
            assert_eq!(logged(&trace, warns), Ok(()));
            let fails = || tracing::error!(target: "watertight::server", host = 7, "it broke");
            let violated = (Invariant::NoErrorLogged, "it broke host=7".into());
            assert_eq!(logged(&trace, fails), Err(violated));
        }
    }
}
