use super::dice::{Actor, Bag};
use super::swarm::Swarm;
use super::timeline::Timeline;
use crate::schedule::{
    Action, Answer, Cast, Host, Knobs, StreamId, TargetEnd, TargetPlan, TargetReads, TargetWrites,
};

/// The number of the first stream of a crowd: no application has it.
const FIRST: u16 = 1000;

/// What it dials: nothing answers.
const HOLE: TargetPlan = TargetPlan {
    answer: Answer::Hang,
    reads: TargetReads::All,
    writes: TargetWrites::Echo,
    end: TargetEnd::Never,
};

/// Many dials at once of a target that does not answer, more than its share of the limit.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    if !swarm.crowd {
        return;
    }
    let mut dice = bag.dice(Actor::Crowd);
    let now = 20 + dice.range(0..=swarm.horizon / 4);
    let to = dice.below(u8::try_from(cast.agents.len()).unwrap_or(u8::MAX));
    let home = cast.agents.get(usize::from(to)).map_or(0, |agent| agent.home);
    for number in 0..20 + dice.below(21) {
        let stream = StreamId(FIRST + u16::from(number));
        let (from, within) = (Host::Server(home), knobs.timing.dial);
        timeline.at(now, Action::Dial { stream, from, to, target: HOLE, within });
    }
}
