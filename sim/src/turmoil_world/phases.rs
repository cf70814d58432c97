//! The phases of a run in this world.

use std::sync::Arc;
use std::time::Duration;

use super::environment::Environment;
use super::host_state::Command;
use super::ledger::{is_quiet, missing};
use super::plan::LIBRARY;
use super::runner::{RunResult, Runner, trace_state};
use super::steps::{bounce, bury, perform};
use super::stream::Stream;
use crate::Player;
use crate::invariant::When;
use crate::observed::DialOutcome;
use crate::phases::Phases;
use crate::schedule::{TargetReads, TrafficEnd, millis};
use crate::violation::Violation;

impl Phases for Runner {
    type Stop = Violation;

    fn traffic(&mut self) -> RunResult {
        let mut due = Duration::ZERO;
        for index in 0..self.env.plan.schedule.steps.len() {
            let env = Arc::clone(&self.env);
            let Some(step) = env.plan.schedule.steps.get(index) else { break };
            due += millis(step.after);
            while self.network.now() < due {
                self.tick()?;
            }
            env.recorder.trace.step(self.network.now(), || step.action.to_string());
            let (network, heap) = (&mut self.network, &mut self.heap);
            heap.count(|| perform(network, &env, &step.action));
            env.recorder.set_steps(index + 1);
            self.check(When::Running)?;
        }
        self.tick()
    }

    fn heal(&mut self) -> RunResult {
        let (network, env) = (&mut self.network, &self.env);
        env.recorder.trace.step(network.now(), || "everything is healed");
        self.heap.count(|| {
            network.heal_all();
            env.remotes().heal();
            for host in env.plan.hosts() {
                if env.with_host(host, |state| state.is_crashed).unwrap_or(false) {
                    bounce(network, env, host);
                }
                if !env.plan.is_honest(host) {
                    env.send(host, Command::HangUp);
                }
            }
        });
        Ok(())
    }

    fn quiesce(&mut self, traffic_end: TrafficEnd) -> RunResult {
        let env = Arc::clone(&self.env);
        self.heap.count(|| end_traffic(&env, traffic_end));
        self.become_quiet()?;
        self.heap.count(|| answer_names(&env));
        Ok(())
    }

    fn probe(&mut self) -> RunResult {
        self.try_everything()?;
        self.wait_for_memory(LIBRARY)?;
        self.check(When::Quiet)?;
        self.repeat()?;
        self.end_sessions()
    }

    fn shut_down(&mut self, traffic_end: TrafficEnd) -> RunResult {
        let loses_power = self.env.plan.schedule.knobs.hosts.lose_power;
        if traffic_end == TrafficEnd::Shutdown && loses_power {
            self.lose_power()
        } else {
            self.stop()
        }
    }
}

impl Runner {
    /// Everything is dropped at once, as in machines that lose power: every host's runtime with all its
    /// tasks. The order is left to chance, so the trace has nothing of it.
    fn lose_power(&mut self) -> RunResult {
        let (network, env) = (&mut self.network, &self.env);
        env.recorder.trace.step(network.now(), || "all hosts lose power");
        env.recorder.stop_trace();
        self.heap.count(|| {
            let seen = *env.recorder.situations();
            let hosts: Vec<_> = env.plan.hosts().collect();
            for host in hosts {
                network.crash(host);
                bury(env, host);
            }
            *env.recorder.situations() = seen;
        });
        self.check(When::Running)
    }

    fn become_quiet(&mut self) -> RunResult {
        let vanishing = self.env.plan.vanishing();
        let bound = self.env.plan.to_quiet() + vanishing;
        // Streams that end by themselves do; an end that waits without an end in sight lets go.
        self.wait(bound, |env| !env.any_stream(is_due))?;
        // A target may have gone while the others were waited for.
        let long = |env: &Environment| !env.any_stream(|stream| stream.is_left() && is_due(stream));
        self.wait(bound, long)?;
        if let Some(stuck) = self.env.streams().iter().find(|stream| is_due(stream)) {
            return Err(self.stuck(stuck_words(&self.env, stuck)));
        }
        let env = Arc::clone(&self.env);
        self.heap.count(|| let_go(&env));
        let is_over = |env: &Environment| {
            is_quiet(env) && !env.any_stream(|stream| stream.holds_socket(&env.plan))
        };
        if !self.wait(bound, is_over)? {
            self.check(When::Quiet)?;
            let stuck = |stream: &Arc<Stream>| !stream.is_over() || stream.holds_socket(&env.plan);
            let stuck = self.env.streams().into_iter().find(stuck);
            let stuck = stuck.map_or_else(|| missing(&env), |stream| stuck_words(&env, &stream));
            return Err(self.stuck(stuck));
        }
        self.heap.count(|| env.streams().iter().for_each(|stream| stream.dismiss_targets()));
        Ok(())
    }

    fn stop(&mut self) -> RunResult {
        let env = Arc::clone(&self.env);
        let knobs = &env.plan.schedule.knobs.hosts;
        let within = millis(knobs.shutdown);
        env.recorder
            .trace
            .step(self.network.now(), || format!("all hosts shut down within {within:?}"));
        let mut hosts: Vec<_> = env.plan.hosts().collect();
        if knobs.agents_first {
            hosts.reverse();
        }
        self.heap.count(|| hosts.iter().for_each(|host| env.send(*host, Command::Stop(within))));
        let all_stopped = |env: &Environment| {
            env.plan
                .hosts()
                .all(|host| env.with_host(host, |state| state.is_stopped).unwrap_or(true))
        };
        if !self.wait(within * 2 + LIBRARY + LIBRARY, all_stopped)? {
            let running = hosts
                .iter()
                .find(|host| !env.with_host(**host, |state| state.is_stopped).unwrap_or(true));
            let running = running.map_or_else(String::new, ToString::to_string);
            return Err(self.stuck(format!("{running} does not shut down")));
        }
        self.check(When::Running)
    }
}

/// The applications end their part.
fn end_traffic(env: &Environment, traffic_end: TrafficEnd) {
    for stream in env.streams() {
        stream.near.update(|player| match traffic_end {
            TrafficEnd::Drop => player.let_go(),
            _ => {
                player.finish();
                player.read_all();
            }
        });
    }
}

/// What still hangs has its answer.
fn answer_names(env: &Environment) {
    for host in env.plan.hosts() {
        let names = env.with_host(host, |state| state.names.clone()).flatten();
        names.iter().for_each(|names| names.answer());
    }
}

/// Applications let go, and so do targets that do not read: nothing else would end them.
fn let_go(env: &Environment) {
    for stream in env.streams() {
        if !stream.is_over() {
            stream.near.update(Player::let_go);
        }
        if stream.plan.reads != TargetReads::All {
            stream.dismiss_targets();
        }
    }
}

/// Whether a stream should end and has not: its ends meet, or its target has left it.
fn is_due(stream: &Stream) -> bool {
    !stream.is_over() && (stream.comes_to_an_end() || stream.is_left())
}

/// The text for a stream that does not end. A violation has few words, so that a smaller schedule can show
/// the same; the trace has the rest.
fn stuck_words(env: &Environment, stream: &Stream) -> String {
    trace_state(env, stream);
    let id = stream.id;
    match stream.dial() {
        DialOutcome::Pending => format!("the dial of {id} has no end"),
        _ if stream.is_over() => format!("the socket of the target of {id} is held"),
        _ if stream.is_left() => {
            format!("the application of {id} is never notified that its target has left")
        }
        _ => format!("{id} does not end"),
    }
}
