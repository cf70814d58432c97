//! Actions of applications: dials, writes, reads, closes.

use super::dice::{Actor, Bag, Dice};
use super::swarm::Swarm;
use super::target::{self, size};
use super::timeline::Timeline;
use crate::schedule::{Action, Cast, Host, Knobs, StreamId};

/// What the applications do, each with one stream.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    for number in 0..swarm.applications {
        let dice = bag.dice(Actor::Application(number));
        let mut application =
            Application { dice, swarm, stream: StreamId(number), timeline, now: 0 };
        application.dial(cast, knobs);
        application.use_stream();
    }
}

struct Application<'a, 'd> {
    dice: Dice<'d>,
    swarm: &'a Swarm,
    stream: StreamId,
    timeline: &'a mut Timeline,
    now: u32,
}

impl Application<'_, '_> {
    fn dial(&mut self, cast: &Cast, knobs: &Knobs) {
        let dice = &mut self.dice;
        // The first dials find sessions that are just up, or not yet.
        self.now = dice.range(0..=20) + dice.range(0..=self.swarm.horizon * 3 / 4);
        let agents = u8::try_from(cast.agents.len()).unwrap_or(u8::MAX);
        let to = dice.below(agents);
        let honest = cast.agents.get(usize::from(to)).is_some_and(|agent| agent.kind.is_honest());
        let by_agent = self.swarm.agent_dials && honest && dice.percent(40);
        let from = if by_agent { Host::Agent(to) } else { Host::Server(dice.below(cast.servers)) };
        let hurried = self.swarm.short_deadlines && dice.percent(50);
        let within = if hurried { dice.range(1..=knobs.timing.dial) } else { knobs.timing.dial };
        let target = target::draw(dice, self.swarm, knobs);
        self.step(Action::Dial { stream: self.stream, from, to, target, within });
    }

    fn use_stream(&mut self) {
        let stream = self.stream;
        if !(self.swarm.slow_readers && self.dice.percent(60)) {
            self.step(Action::ReadAll { stream });
        }
        for _ in 0..1 + self.dice.times(40, 6) {
            self.pause();
            let bytes = size(&mut self.dice, self.swarm);
            let reads = self.swarm.slow_readers && self.dice.percent(40);
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
        if self.dice.percent(60) {
            self.pause();
            self.step(Action::Finish { stream });
        }
        if self.swarm.resets && self.dice.percent(40) {
            self.pause();
            self.step(Action::Reset { stream });
        } else if self.swarm.drops && self.dice.percent(50) {
            self.pause();
            self.step(Action::Drop { stream });
        }
    }

    fn pause(&mut self) {
        // Often at once: what is quick meets what is still on its way.
        if self.dice.percent(60) {
            self.now += self.dice.range(0..=self.swarm.horizon / 4);
        }
    }

    fn step(&mut self, action: Action) {
        self.timeline.at(self.now, action);
    }
}
