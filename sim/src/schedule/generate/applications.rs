//! The steps of the applications, each with one stream, and many dials at once.

use super::random::{Bag, Random, RandomStream, Timeline};
use super::swarm::{Many, Sizes, Swarm};
use crate::schedule::{
    Action, Answer, Cast, Host, Knobs, StreamId, TargetEnd, TargetPlan, TargetReads, TargetWrites,
};

/// The steps of the applications, each with one stream.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    for number in 0..swarm.applications {
        let random = bag.random(RandomStream::Application(number));
        let mut application =
            Application { random, swarm, stream: StreamId(number), timeline, now: 0 };
        application.dial(cast, knobs);
        application.use_stream();
    }
}

struct Application<'a, 'd> {
    random: Random<'d>,
    swarm: &'a Swarm,
    stream: StreamId,
    timeline: &'a mut Timeline,
    now: u32,
}

impl Application<'_, '_> {
    fn dial(&mut self, cast: &Cast, knobs: &Knobs) {
        let random = &mut self.random;
        // The first dials find sessions that are just up, or not yet.
        self.now = random.range(0..=20) + random.range(0..=self.swarm.horizon * 3 / 4);
        let agents = u8::try_from(cast.agents.len()).unwrap_or(u8::MAX);
        let to = random.below(agents);
        let honest = cast.agents.get(usize::from(to)).is_some_and(|agent| agent.kind.is_honest());
        let by_agent = self.swarm.agent_dials && honest && random.percent(40);
        let from =
            if by_agent { Host::Agent(to) } else { Host::Server(random.below(cast.servers)) };
        let hurried = self.swarm.short_deadlines && random.percent(50);
        let within = if hurried { random.range(1..=knobs.timing.dial) } else { knobs.timing.dial };
        let target = draw_target(random, self.swarm, knobs);
        self.step(Action::Dial { stream: self.stream, from, to, target, within });
    }

    fn use_stream(&mut self) {
        let stream = self.stream;
        if !(self.swarm.slow_readers && self.random.percent(60)) {
            self.step(Action::ReadAll { stream });
        }
        for _ in 0..1 + self.random.times(40, 6) {
            self.pause();
            let bytes = size(&mut self.random, self.swarm);
            let reads = self.swarm.slow_readers && self.random.percent(40);
            self.step(if reads {
                Action::Read { stream, bytes }
            } else {
                Action::Write { stream, bytes }
            });
        }
        self.end_stream();
    }

    /// Finishes mostly, and then may still change its mind.
    fn end_stream(&mut self) {
        let stream = self.stream;
        if self.random.percent(60) {
            self.pause();
            self.step(Action::Finish { stream });
        }
        if self.swarm.resets && self.random.percent(40) {
            self.pause();
            self.step(Action::Reset { stream });
        } else if self.swarm.drops && self.random.percent(50) {
            self.pause();
            self.step(Action::Drop { stream });
        }
    }

    fn pause(&mut self) {
        // Often at once: a step soon after another one meets messages in transit.
        if self.random.percent(60) {
            self.now += self.random.range(0..=self.swarm.horizon / 4);
        }
    }

    fn step(&mut self, action: Action) {
        self.timeline.at(self.now, action);
    }
}

/// The number of the first stream of many dials at once: no application has it.
const FIRST: u16 = 1000;

/// The target of the dials: nothing answers.
const HOLE: TargetPlan = TargetPlan {
    answer: Answer::Hang,
    reads: TargetReads::All,
    writes: TargetWrites::Echo,
    end: TargetEnd::Never,
};

/// Many dials at once of targets that do not answer.
pub(super) fn act_at_once(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    let Some(many) = swarm.many else { return };
    let mut random = bag.random(RandomStream::Many);
    let now = 20 + random.range(0..=swarm.horizon / 4);
    let to = random.below(u8::try_from(cast.agents.len()).unwrap_or(u8::MAX));
    let home = cast.agents.get(usize::from(to)).map_or(0, |agent| agent.home);
    let dials = match many {
        Many::OfOneTarget => 20 + random.below(21),
        Many::OfNames => 2 + random.below(5),
    };
    for number in 0..dials {
        let stream = StreamId(FIRST + u16::from(number));
        let (from, within) = (Host::Server(home), knobs.timing.dial);
        timeline.at(now, Action::Dial { stream, from, to, target: HOLE, within });
    }
    if many == Many::OfNames {
        let later = now + random.range(0..=swarm.horizon);
        timeline.at(later, Action::Cut { by: Host::Agent(to) });
    }
}

/// The plan of a target, of all that the swarm allows.
fn draw_target(random: &mut Random<'_>, swarm: &Swarm, knobs: &Knobs) -> TargetPlan {
    TargetPlan {
        answer: answer(random, swarm, knobs),
        reads: reads(random, swarm),
        writes: match random.range(0..=9) {
            0..=4 => TargetWrites::Echo,
            5..=7 => TargetWrites::Pour(size(random, swarm)),
            _ => TargetWrites::AfterEof(size(random, swarm)),
        },
        end: end(random, swarm),
    }
}

fn answer(random: &mut Random<'_>, swarm: &Swarm, knobs: &Knobs) -> Answer {
    if swarm.refusing_targets && random.percent(30) {
        return Answer::Refuse;
    }
    if !swarm.late_targets || random.percent(50) {
        return Answer::Accept;
    }
    if random.percent(25) {
        return Answer::Hang;
    }
    // Around the deadlines of both ends, before and after.
    Answer::Late(random.range(1..=2 * knobs.timing.dial))
}

fn reads(random: &mut Random<'_>, swarm: &Swarm) -> TargetReads {
    if swarm.deaf_targets && random.percent(50) {
        return TargetReads::UpTo(if random.percent(50) { 0 } else { size(random, swarm) });
    }
    TargetReads::All
}

fn end(random: &mut Random<'_>, swarm: &Swarm) -> TargetEnd {
    if swarm.breaking_targets && random.percent(40) {
        let after = if random.percent(30) { 0 } else { size(random, swarm) };
        return if random.percent(50) { TargetEnd::Reset(after) } else { TargetEnd::Drop(after) };
    }
    if swarm.staying_targets && random.percent(40) {
        return TargetEnd::Never;
    }
    if random.percent(70) { TargetEnd::AfterEof } else { TargetEnd::AfterWriting }
}

/// Bytes of one write or read.
pub(super) fn size(random: &mut Random<'_>, swarm: &Swarm) -> u32 {
    match swarm.sizes {
        Sizes::Small => random.range(1..=200),
        Sizes::Window => random.weighted(&[(2, 200), (2, 1024), (1, 4000)]) + random.range(0..=200),
        Sizes::Large => {
            random.weighted(&[(2, 1500), (2, 9000), (1, 40_000)]) + random.range(0..=500)
        }
    }
}
