//! The story of a run, from what is logged on the way.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::deviation::Deviation;
use super::log::{self, Line};
use super::runner::{Run, Runner};
use super::stage::Stage;
use crate::invariant::Invariant;
use crate::panics;
use crate::schedule::Host;
use crate::violation::Violation;
use crate::{Outcome, Schedule, Trace};

/// Runs a schedule, with the log in the trace. A panic is a violation.
pub(super) fn play(schedule: &Schedule, trace: &Trace, deviation: Deviation) -> Outcome {
    let stage: Rc<RefCell<Option<Arc<Stage>>>> = Rc::default();
    let listening = Rc::clone(&stage);
    let listener = move |line| {
        let stage = listening.borrow().clone();
        if let Some(stage) = stage {
            hear(&stage, &line);
        }
    };
    let run = || {
        let mut runner = Runner::new(|| Stage::new(schedule, trace, deviation));
        stage.replace(Some(Arc::clone(&runner.stage)));
        let result = runner.play().and_then(|()| runner.finish());
        stage.take();
        conclude(runner, result)
    };
    let (outcome, panicked) = panics::watch(|| log::listen(trace.is_on(), listener, run));
    // It is there only if it panicked.
    let stage = stage.take();
    let mut outcome = outcome.unwrap_or_default();
    if let Some(what) = panicked {
        let steps = stage.as_ref().map_or(0, |stage| stage.steps());
        if let Some(stage) = &stage {
            (outcome.seen, outcome.virtual_time) = (*stage.seen(), stage.now());
        }
        let at = outcome.virtual_time;
        outcome.violation = Some(Violation { invariant: Invariant::NoPanic, what, at, steps });
    }
    outcome
}

fn conclude(runner: Runner, result: Run) -> Outcome {
    let seen = *runner.stage.seen();
    let virtual_time = runner.network.now();
    let ended = runner.end();
    Outcome { violation: result.and(ended).err(), seen, virtual_time }
}

fn hear(stage: &Stage, line: &Line) {
    if line.is_error {
        stage.log_error(line.to_string());
    }
    if !stage.trace.is_on() || stage.is_silent() {
        return;
    }
    if tell_of_network(&stage.trace, stage.now(), line, |address| stage.host_at(address)) {
        return;
    }
    let node = line.node.as_deref();
    match node.and_then(|node| stage.hosts().find(|host| host.to_string() == node)) {
        Some(host) => stage.tale(host, || format!("log: {line}")),
        None => stage.trace.step(stage.now(), || format!("log: {line}")),
    }
}

/// Tells what goes over turmoil's network, if that is what a line is about. Whether it is turmoil's.
pub(crate) fn tell_of_network(
    trace: &Trace,
    now: Duration,
    line: &Line,
    host_at: impl Fn(IpAddr) -> Option<Host>,
) -> bool {
    let host = |name| -> Option<Host> {
        let address: SocketAddr = line.field(name)?.parse().ok()?;
        host_at(address.ip())
    };
    if line.target != "turmoil" {
        return false;
    }
    if let (Some(from), Some(to)) = (host("src"), host("dst")) {
        trace.sent(now, from, to, || format!("{}: {}", line.message, summary(line)));
    }
    true
}

/// What goes, in short: turmoil shows each byte.
fn summary(line: &Line) -> String {
    let protocol = line.field("protocol").unwrap_or_default();
    let Some((kind, bytes)) = protocol.split_once(" [") else { return protocol.into() };
    let count = bytes.split(',').count();
    // FNV-1a over the text: enough to tell two runs apart.
    let hash = bytes.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{kind} {count} bytes #{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::{When, check};
    use crate::turmoil_world::observe::observe;
    use crate::{Heap, World};

    fn logged(trace: &Trace, log: fn()) -> Result<(), (Invariant, String)> {
        let schedule = Schedule::generate(0, World::Turmoil);
        let stage = Arc::new(Stage::new(&schedule, trace, Deviation::None));
        let listening = Arc::clone(&stage);
        log::listen(trace.is_on(), move |line| hear(&listening, &line), log);
        check(When::Running, &observe(When::Running, &stage, Heap::default()))
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
