//! The edits that make a schedule simpler, one at a time.

use std::ops::Range;

use crate::schedule::{
    Action, Answer, Host, Hosts, Knobs, Limits, LinkKnobs, Schedule, StreamId, TargetEnd,
    TargetPlan, TargetReads, TargetSide, TargetWrites, Timing, TrafficEnd,
};

/// A change that makes a schedule simpler. A change without an effect is as good as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Leaves steps out. Time passes as before.
    Remove(Range<usize>),
    /// Leaves a stream out.
    RemoveStream(StreamId),
    /// Leaves an agent out that nothing happens to.
    RemoveAgent(u8),
    /// One server is enough.
    OneServer,
    /// A step comes with the one before.
    AtOnce(usize),
    /// Half of the bytes or milliseconds of a step.
    Halve(usize),
    /// A dial's target is the simplest one in one respect.
    SimplerTarget(usize, Aspect),
    /// Targets are handled in the agent's process.
    Handlers,
    /// One of the conditions is the usual one.
    UsualKnob(Knob),
    /// The applications just drop what they have.
    DropAtTheEnd,
}

/// A respect in which a target can be simple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    Answer,
    Reads,
    Writes,
    End,
}

/// A group of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knob {
    Server,
    Agent,
    Timing,
    Link,
    Hosts,
    Patience,
}

/// Every edit that may make a schedule simpler, the strongest first.
pub(super) fn edits(schedule: &Schedule) -> Vec<Edit> {
    let streams = schedule.steps.iter().filter_map(|step| match &step.action {
        Action::Dial { stream, .. } => Some(Edit::RemoveStream(*stream)),
        _ => None,
    });
    let agents = u8::try_from(schedule.cast.agents.len()).unwrap_or(u8::MAX);
    let agents = (0..agents).rev().map(Edit::RemoveAgent);
    let whole = [Edit::OneServer, Edit::Handlers, Edit::DropAtTheEnd];
    let knobs = [Knob::Server, Knob::Agent, Knob::Timing, Knob::Link, Knob::Hosts, Knob::Patience];
    let knobs = knobs.map(Edit::UsualKnob);
    let aspects = [Aspect::Answer, Aspect::Reads, Aspect::Writes, Aspect::End];
    let indices = 0..schedule.steps.len();
    let of_steps = indices.flat_map(|index| {
        let targets = aspects.map(|aspect| Edit::SimplerTarget(index, aspect));
        [Edit::AtOnce(index), Edit::Halve(index)].into_iter().chain(targets)
    });
    streams.chain(agents).chain(whole).chain(knobs).chain(of_steps).collect()
}

impl Edit {
    /// Whether the same edit can make the schedule simpler still.
    pub(super) const fn may_help_again(&self) -> bool {
        matches!(self, Self::Halve(_))
    }

    pub(super) fn apply(&self, schedule: &mut Schedule) {
        match self {
            Self::Remove(range) => remove(schedule, range.clone()),
            Self::RemoveStream(stream) => {
                while let Some(index) = place_of(schedule, *stream) {
                    remove(schedule, index..index + 1);
                }
            }
            Self::RemoveAgent(agent) => remove_agent(schedule, *agent),
            Self::OneServer => one_server(schedule),
            Self::AtOnce(index) => {
                if let Some(step) = schedule.steps.get_mut(*index) {
                    step.after = 0;
                }
            }
            Self::Halve(index) => {
                if let Some(step) = schedule.steps.get_mut(*index) {
                    halve(&mut step.action);
                }
            }
            Self::SimplerTarget(index, aspect) => {
                let step = schedule.steps.get_mut(*index);
                if let Some(Action::Dial { target, .. }) = step.map(|step| &mut step.action) {
                    simplify_target(target, *aspect);
                }
            }
            Self::Handlers => {
                let agents = schedule.cast.agents.iter_mut();
                agents.for_each(|agent| agent.targets = TargetSide::Handler);
            }
            Self::UsualKnob(knob) => usual(&mut schedule.knobs, *knob),
            Self::DropAtTheEnd => schedule.traffic_end = TrafficEnd::Drop,
        }
    }
}

fn place_of(schedule: &Schedule, stream: StreamId) -> Option<usize> {
    schedule.steps.iter().position(|step| step.action.stream() == Some(stream))
}

fn remove(schedule: &mut Schedule, range: Range<usize>) {
    let end = range.end.min(schedule.steps.len());
    let start = range.start.min(end);
    let waited: u32 = schedule.steps.drain(start..end).map(|step| step.after).sum();
    if let Some(next) = schedule.steps.get_mut(start) {
        next.after += waited;
    }
}

fn remove_agent(schedule: &mut Schedule, agent: u8) {
    let agents = &mut schedule.cast.agents;
    let named = schedule.steps.iter().any(|step| mentions_agent(&step.action, agent));
    if named || agents.len() < 2 || usize::from(agent) >= agents.len() {
        return;
    }
    agents.remove(agent.into());
    for step in &mut schedule.steps {
        move_up(&mut step.action, agent);
    }
}

/// Agents behind the removed one have another number.
fn move_up(action: &mut Action, disconnected: u8) {
    let number = |number: &mut u8| *number -= u8::from(*number > disconnected);
    let host = |host: &mut Host| match host {
        Host::Agent(agent) => number(agent),
        Host::Server(_) | Host::Unauthenticated => {}
    };
    match action {
        Action::Dial { from, to, .. } => {
            host(from);
            number(to);
        }
        Action::Replace { agent }
        | Action::Disconnect { agent }
        | Action::Drain { agent, .. }
        | Action::Send { agent, .. } => number(agent),
        Action::Restart { host: named, .. }
        | Action::Crash { host: named }
        | Action::Bounce { host: named }
        | Action::Cut { by: named } => host(named),
        Action::Partition { a, b }
        | Action::PartitionOneWay { from: a, to: b }
        | Action::Repair { a, b }
        | Action::Hold { a, b }
        | Action::Release { a, b }
        | Action::Latency { a, b, .. } => {
            host(a);
            host(b);
        }
        Action::Write { .. }
        | Action::Read { .. }
        | Action::ReadAll { .. }
        | Action::Finish { .. }
        | Action::Reset { .. }
        | Action::Drop { .. }
        | Action::UnauthenticatedConnect { .. }
        | Action::Impersonate { .. }
        | Action::Idle => {}
    }
}

fn one_server(schedule: &mut Schedule) {
    let other = Host::Server(1);
    if schedule.steps.iter().all(|step| !mentions(&step.action, other)) {
        schedule.cast.servers = 1;
        schedule.cast.agents.iter_mut().for_each(|agent| agent.home = 0);
    }
}

fn mentions_agent(action: &Action, number: u8) -> bool {
    let named = match action {
        Action::Dial { to: agent, .. }
        | Action::Replace { agent }
        | Action::Disconnect { agent }
        | Action::Drain { agent, .. }
        | Action::Send { agent, .. } => Some(*agent),
        _ => None,
    };
    named == Some(number) || mentions(action, Host::Agent(number))
}

fn mentions(action: &Action, host: Host) -> bool {
    match action {
        Action::Dial { from, .. } => *from == host,
        Action::UnauthenticatedConnect { server, .. } | Action::Impersonate { server, .. } => {
            Host::Server(*server) == host
        }
        Action::Restart { host: named, .. }
        | Action::Crash { host: named }
        | Action::Bounce { host: named }
        | Action::Cut { by: named } => *named == host,
        Action::Partition { a, b }
        | Action::PartitionOneWay { from: a, to: b }
        | Action::Repair { a, b }
        | Action::Hold { a, b }
        | Action::Release { a, b }
        | Action::Latency { a, b, .. } => *a == host || *b == host,
        _ => false,
    }
}

fn halve(action: &mut Action) {
    match action {
        Action::Write { bytes, .. } | Action::Read { bytes, .. } => *bytes = bytes.div_ceil(2),
        Action::Drain { within, .. } | Action::Restart { within, .. } => *within /= 2,
        Action::Latency { millis, .. } => *millis /= 2,
        Action::Dial { target, .. } => halve_target(target),
        Action::UnauthenticatedConnect { sockets, leave_after, again_for, .. } => {
            (*sockets, *again_for) = (sockets.div_ceil(2), *again_for / 2);
            leave_after.iter_mut().for_each(|after| *after /= 2);
        }
        Action::Impersonate { within, .. } => *within /= 2,
        _ => {}
    }
}

fn halve_target(target: &mut TargetPlan) {
    match &mut target.writes {
        TargetWrites::Pour(bytes) | TargetWrites::AfterEof(bytes) => *bytes = bytes.div_ceil(2),
        TargetWrites::Echo => {}
    }
    match &mut target.end {
        TargetEnd::Reset(after) | TargetEnd::Drop(after) => *after /= 2,
        TargetEnd::AfterEof | TargetEnd::AfterWriting | TargetEnd::Never => {}
    }
    if let TargetReads::UpTo(bytes) = &mut target.reads {
        *bytes /= 2;
    }
    if let Answer::Late(millis) = &mut target.answer {
        *millis /= 2;
    }
}

const fn simplify_target(target: &mut TargetPlan, aspect: Aspect) {
    match aspect {
        Aspect::Answer => target.answer = TargetPlan::ECHO.answer,
        Aspect::Reads => target.reads = TargetPlan::ECHO.reads,
        Aspect::Writes => target.writes = TargetPlan::ECHO.writes,
        Aspect::End => target.end = TargetPlan::ECHO.end,
    }
}

fn usual(knobs: &mut Knobs, knob: Knob) {
    match knob {
        Knob::Server => knobs.server = Limits::USUAL,
        Knob::Agent => knobs.agent = Limits::USUAL,
        Knob::Timing => knobs.timing = Timing::USUAL,
        Knob::Link => knobs.link = LinkKnobs::USUAL,
        Knob::Hosts => {
            let Hosts { patient, .. } = knobs.hosts;
            knobs.hosts = Hosts { patient, ..Hosts::USUAL };
        }
        // A wake-up that is lost shows only where no timer helps.
        Knob::Patience => knobs.hosts.patient = Hosts::USUAL.patient,
    }
}
