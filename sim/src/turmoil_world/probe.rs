//! The probe of a run: every agent is dialled once more, and receives the close reason of its session.

use std::sync::Arc;
use std::time::Duration;

use super::environment::Environment;
use super::host_state::Command;
use super::ledger::is_at_rest;
use super::runner::{RunResult, Runner, trace_state};
use super::steps::{DialStep, dial};
use super::stream::Stream;
use crate::Player;
use crate::invariant::{Invariant, When};
use crate::observed::DialOutcome;
use crate::schedule::{Host, StreamId, TargetPlan, millis};
use crate::situation::Situation;

/// The numbers of the streams that the liveness check dials.
const FRESH: u16 = 60_000;

/// Everything is tried again in one of so many schedules: each time costs as much as a short one.
const REPEATED: u64 = 8;

/// How often everything is tried, at most: ten times were enough.
const ROUNDS: usize = 24;

/// How often no byte more is held than the time before.
const ENOUGH: u32 = 3;

/// Ticks among which nothing is in transit in one.
const REST: u32 = 20;

/// Bytes that the liveness check sends there and back.
const ECHOED: u64 = 3000;

impl Runner {
    /// Every agent is dialled once more, by every server, and dials. Sessions that have lost bytes may still
    /// seem to be up, and limits are small: a dial that fails is tried again for a while.
    pub(super) fn try_everything(&mut self) -> RunResult {
        let timing = &self.env.plan.schedule.knobs.timing;
        let until = self.network.now() + self.env.plan.to_quiet();
        let patience = millis(timing.dial) + Duration::from_secs(1) + self.env.plan.crossing();
        let mut pairs = pairs(&self.env);
        let mut next = FRESH;
        while !pairs.is_empty() {
            let env = Arc::clone(&self.env);
            let tried: Vec<_> = (next..).map(StreamId).zip(pairs).collect();
            next += u16::try_from(tried.len()).unwrap_or(u16::MAX);
            self.heap.count(|| tried.iter().for_each(|(id, pair)| echo(&env, *id, *pair)));
            self.wait(patience, |env| tried.iter().all(|(id, _)| is_decided(env, *id)))?;
            let (done, failed): (Vec<_>, _) =
                tried.into_iter().partition(|(id, _)| has_echoed(&env, *id));
            self.heap.count(|| {
                done.iter().for_each(|(id, _)| update(&env, *id, Player::finish));
                failed.iter().for_each(|(id, _)| update(&env, *id, Player::let_go));
            });
            if let Some((id, _)) = failed.first()
                && self.network.now() > until
            {
                let stream = env.stream(*id);
                let what = stream.map_or_else(String::new, |stream| failed_words(&env, &stream));
                return Err(self.stuck(what));
            }
            pairs = failed.into_iter().map(|(_, pair)| pair).collect();
        }
        let bound = self.env.plan.to_quiet();
        let streams_over = |env: &Environment| !env.any_stream(|stream| !stream.is_over());
        if !self.wait(bound, |env| streams_over(env) && is_at_rest(env))? {
            self.check(When::Quiet)?;
            return Err(self.stuck("a new stream does not end".into()));
        }
        Ok(())
    }
}

impl Runner {
    /// Repeated dials take no byte more than they give back: a leak of a connection, however small, is found.
    /// Not at once: queues grow to their size first, and read buffers are made anew when they have been given
    /// away, smaller or larger.
    pub(super) fn repeat(&mut self) -> RunResult {
        if !self.env.plan.schedule.seed.is_multiple_of(REPEATED) {
            return Ok(());
        }
        let mut held = Vec::new();
        let mut no_more = 0;
        while held.len() < ROUNDS {
            self.try_everything()?;
            let now = self.at_quiet_moment()?;
            no_more += u32::from(held.last().is_some_and(|before| now <= *before));
            if no_more == ENOUGH {
                return Ok(());
            }
            held.push(now);
        }
        self.env.recorder.trace.step(self.network.now(), || format!("bytes held: {held:?}"));
        let what = "each new connection leaves something on the heap".into();
        Err(self.violation(Invariant::HeapReturns, what))
    }

    /// The heap when nothing is in transit.
    fn at_quiet_moment(&mut self) -> RunResult<i64> {
        let env = Arc::clone(&self.env);
        self.heap.count(|| env.forget_streams(StreamId(FRESH)));
        let mut least = self.heap.held();
        for _ in 0..REST {
            self.tick()?;
            least = least.min(self.heap.held());
        }
        Ok(least)
    }
}

/// The text for a healed stream or dial that does not work.
fn failed_words(env: &Environment, stream: &Stream) -> String {
    trace_state(env, stream);
    let (from, agent) = (stream.from, stream.agent);
    match stream.dial() {
        DialOutcome::Opened => format!("a new stream of {from} with agent{agent} has no echo"),
        _ => format!("a new dial of {from} at agent{agent} fails"),
    }
}

/// The pairs of a dialling host and an agent.
fn pairs(env: &Environment) -> Vec<(Host, u8)> {
    let from_servers =
        env.plan.servers().flat_map(|from| env.plan.honest_agents().map(move |to| (from, to)));
    from_servers.chain(env.plan.honest_agents().map(|agent| (Host::Agent(agent), agent))).collect()
}

/// Dials an echo and speaks to it.
fn echo(env: &Environment, id: StreamId, (from, agent): (Host, u8)) {
    let slow = u32::try_from(env.plan.crossing().as_millis()).unwrap_or(u32::MAX / 2);
    let within = env.plan.schedule.knobs.timing.dial.saturating_add(slow);
    dial(env, DialStep { id, from, agent, target: TargetPlan::ECHO, within });
    update(env, id, |player| {
        player.write_more(ECHOED);
        player.read_all();
    });
}

fn update(env: &Environment, id: StreamId, update: impl FnOnce(&mut Player)) {
    if let Some(stream) = env.stream(id) {
        stream.near.update(update);
    }
}

/// Whether it is known if a stream works.
fn is_decided(env: &Environment, id: StreamId) -> bool {
    has_echoed(env, id) || env.stream(id).is_none_or(|stream| stream.is_over())
}

fn has_echoed(env: &Environment, id: StreamId) -> bool {
    let Some(stream) = env.stream(id) else { return true };
    let echoed = stream.near.lock().player.end().read >= ECHOED;
    env.recorder
        .note_if(echoed && stream.dial() == DialOutcome::Opened, Situation::BothWaysComplete);
    echoed
}

/// The numbers of the streams of this phase.
const LAST: u16 = 59_000;

/// Bytes in transit when the session is ended.
const UNDER_WAY: u64 = 3000;

/// How long the link takes nothing.
const FULL: Duration = Duration::from_millis(30);

/// How long the end of a session may take to be heard of.
const HEARD: Duration = Duration::from_secs(5);

impl Runner {
    /// A server ends the sessions of its agents while bytes are in transit and the links are full. The agents
    /// receive the close reason all the same.
    pub(super) fn end_sessions(&mut self) -> RunResult {
        let env = Arc::clone(&self.env);
        let all: Vec<_> = env
            .plan
            .honest_agents()
            .filter(|agent| env.plan.receives_close_reasons(*agent))
            .collect();
        if all.is_empty() || !env.plan.schedule.seed.is_multiple_of(4) {
            return Ok(());
        }
        let ids: Vec<_> = (LAST..).map(StreamId).zip(all.iter().copied()).collect();
        self.heap.count(|| ids.iter().for_each(|(id, agent)| echo_from_home(&env, *id, *agent)));
        let patience = millis(env.plan.schedule.knobs.timing.dial) + FULL;
        self.wait(patience, |env| ids.iter().all(|(id, _)| !is_dialling(env, *id)))?;
        env.end_sessions();
        let before: Vec<_> = all.iter().map(|agent| ended(&env, *agent)).collect();
        self.heap.count(|| {
            fill(&env, &all, true);
            for stream in ids.iter().filter_map(|(id, _)| env.stream(*id)) {
                stream.near.update(|player| player.write_more(UNDER_WAY));
            }
        });
        self.wait(FULL, |_| false)?;
        self.heap.count(|| all.iter().for_each(|agent| disconnect(&env, *agent)));
        self.wait(FULL, |_| false)?;
        self.heap.count(|| fill(&env, &all, false));
        let have_heard = |env: &Environment| {
            all.iter().zip(&before).all(|(agent, before)| ended(env, *agent) > *before)
        };
        self.wait(HEARD, have_heard)?;
        self.heap.count(|| {
            for stream in ids.iter().filter_map(|(id, _)| env.stream(*id)) {
                stream.near.update(Player::let_go);
            }
        });
        Ok(())
    }
}

fn echo_from_home(env: &Environment, id: StreamId, agent: u8) {
    let Some(home) = env.plan.agent(agent).map(|agent| Host::Server(agent.home)) else { return };
    let within = env.plan.schedule.knobs.timing.dial;
    dial(env, DialStep { id, from: home, agent, target: TargetPlan::ECHO, within });
}

fn is_dialling(env: &Environment, id: StreamId) -> bool {
    env.stream(id).is_some_and(|stream| stream.dial() == DialOutcome::Pending)
}

/// Sessions of an agent that have ended.
fn ended(env: &Environment, agent: u8) -> u64 {
    env.with_host(Host::Agent(agent), |state| state.sessions.ended).unwrap_or(0)
}

fn fill(env: &Environment, agents: &[u8], is_full: bool) {
    let lines: Vec<_> =
        agents.iter().flat_map(|agent| env.connections().by(Host::Agent(*agent))).collect();
    lines.iter().for_each(|line| line.fill(is_full));
}

fn disconnect(env: &Environment, agent: u8) {
    if let Some(home) = env.plan.agent(agent).map(|agent| agent.home) {
        env.send(Host::Server(home), Command::Disconnect(agent));
    }
}
