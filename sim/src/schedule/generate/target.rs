//! Behaviour of dialled targets, within the seed's subset of features.

use super::dice::Dice;
use super::swarm::{Sizes, Swarm};
use crate::schedule::{Answer, Knobs, TargetEnd, TargetPlan, TargetReads, TargetWrites};

/// What a target does, of all that the swarm allows.
pub(super) fn draw(dice: &mut Dice<'_>, swarm: &Swarm, knobs: &Knobs) -> TargetPlan {
    TargetPlan {
        answer: answer(dice, swarm, knobs),
        reads: reads(dice, swarm),
        writes: match dice.range(0..=9) {
            0..=4 => TargetWrites::Echo,
            5..=7 => TargetWrites::Pour(size(dice, swarm)),
            _ => TargetWrites::AfterEof(size(dice, swarm)),
        },
        end: end(dice, swarm),
    }
}

fn answer(dice: &mut Dice<'_>, swarm: &Swarm, knobs: &Knobs) -> Answer {
    if swarm.refusing_targets && dice.percent(30) {
        return Answer::Refuse;
    }
    if !swarm.late_targets || dice.percent(50) {
        return Answer::Accept;
    }
    if dice.percent(25) {
        return Answer::Hang;
    }
    // Around the deadlines of both ends, before and after.
    Answer::Late(dice.range(1..=2 * knobs.timing.dial))
}

fn reads(dice: &mut Dice<'_>, swarm: &Swarm) -> TargetReads {
    if swarm.deaf_targets && dice.percent(50) {
        return TargetReads::UpTo(if dice.percent(50) { 0 } else { size(dice, swarm) });
    }
    TargetReads::All
}

fn end(dice: &mut Dice<'_>, swarm: &Swarm) -> TargetEnd {
    if swarm.breaking_targets && dice.percent(40) {
        let after = if dice.percent(30) { 0 } else { size(dice, swarm) };
        return if dice.percent(50) { TargetEnd::Reset(after) } else { TargetEnd::Drop(after) };
    }
    if swarm.staying_targets && dice.percent(40) {
        return TargetEnd::Never;
    }
    if dice.percent(70) { TargetEnd::AfterEof } else { TargetEnd::AfterWriting }
}

/// How many bytes somebody writes or reads at a time.
pub(super) fn size(dice: &mut Dice<'_>, swarm: &Swarm) -> u32 {
    match swarm.sizes {
        Sizes::Small => dice.range(1..=200),
        Sizes::Window => dice.weighted(&[(2, 200), (2, 1024), (1, 4000)]) + dice.range(0..=200),
        Sizes::Large => dice.weighted(&[(2, 1500), (2, 9000), (1, 40_000)]) + dice.range(0..=500),
    }
}
