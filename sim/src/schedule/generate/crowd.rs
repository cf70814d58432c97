//! Bursts of dials to targets that never answer.

use super::dice::{Actor, Bag};
use super::swarm::{Crowd, Swarm};
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

/// Many dials at once of targets that do not answer.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    let Some(crowd) = swarm.crowd else { return };
    let mut dice = bag.dice(Actor::Crowd);
    let now = 20 + dice.range(0..=swarm.horizon / 4);
    let to = dice.below(u8::try_from(cast.agents.len()).unwrap_or(u8::MAX));
    let home = cast.agents.get(usize::from(to)).map_or(0, |agent| agent.home);
    let dials = match crowd {
        Crowd::OfOneTarget => 20 + dice.below(21),
        Crowd::OfNames => 2 + dice.below(5),
    };
    for number in 0..dials {
        let stream = StreamId(FIRST + u16::from(number));
        let (from, within) = (Host::Server(home), knobs.timing.dial);
        timeline.at(now, Action::Dial { stream, from, to, target: HOLE, within });
    }
    if crowd == Crowd::OfNames {
        let later = now + dice.range(0..=swarm.horizon);
        timeline.at(later, Action::Cut { by: Host::Agent(to) });
    }
}
