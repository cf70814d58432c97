//! A schedule from a seed.
//!
//! Every seed draws its own conditions and switches a random subset of all actions and faults off
//! (swarm testing): a schedule that can do everything does nothing for long. Each actor throws its own
//! dice, so that a new one for one of them does not reshuffle the others, and each makes only steps
//! that are legal after those it made before.

mod applications;
mod cast;
mod crowd;
mod dice;
mod hostile;
mod hosts;
mod knobs;
mod links;
mod strangers;
mod swarm;
mod target;
mod timeline;

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::{Finale, Schedule, VERSION};
use crate::World;
use dice::{Actor, Bag, Dice};
use swarm::Swarm;
use timeline::Timeline;

impl Schedule {
    /// The schedule of a seed. What only the other world can express is left out; otherwise both
    /// worlds have the same.
    #[must_use]
    pub fn generate(seed: u64, world: World) -> Self {
        draw(seed, world, Bag::new(seed))
    }

    /// As [`generate`](Self::generate), with every throw of the dice in the hand of somebody, who sees
    /// what was possible and what came, and says what counts. One who lets it count gets the schedule of
    /// the seed.
    #[must_use]
    pub fn in_hand(
        seed: u64,
        world: World,
        hand: impl FnMut(RangeInclusive<u64>, u64) -> u64,
    ) -> Self {
        draw(seed, world, Bag::in_hand(seed, &RefCell::new(hand)))
    }
}

fn draw(seed: u64, world: World, bag: Bag<'_>) -> Schedule {
    let swarm = Swarm::draw(&mut bag.dice(Actor::Swarm), world);
    let mut knobs = knobs::draw(bag, &swarm);
    strangers::conditions(bag, &swarm, &mut knobs);
    let cast = cast::draw(&mut bag.dice(Actor::Cast), &swarm);
    let mut timeline = Timeline::default();
    applications::act(bag, &swarm, &cast, &knobs, &mut timeline);
    crowd::act(bag, &swarm, &cast, &knobs, &mut timeline);
    links::act(bag, &swarm, &cast, &mut timeline);
    hosts::act(bag, &swarm, &cast, &knobs, &mut timeline);
    hostile::act(bag, &swarm, &cast, &knobs, &mut timeline);
    strangers::act(bag, &swarm, &cast, &knobs, &mut timeline);
    let finale = finale(&mut bag.dice(Actor::Finale));
    Schedule { version: VERSION, seed, cast, knobs, steps: timeline.into_steps(), finale }
}

fn finale(dice: &mut Dice<'_>) -> Finale {
    dice.weighted(&[(5, Finale::Finish), (3, Finale::Drop), (2, Finale::Shutdown)])
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};
    use std::ops::RangeInclusive;

    use super::*;
    use crate::schedule::Action;

    #[test]
    fn a_seed_has_one_schedule_and_it_survives_a_file() {
        for world in World::ALL {
            for seed in 0..500 {
                let schedule = Schedule::generate(seed, world);
                assert_eq!(schedule, Schedule::generate(seed, world));
                let text = serde_json::to_string(&schedule).unwrap();
                assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
            }
        }
    }

    #[test]
    fn the_throws_of_a_seed_make_its_schedule_again() {
        for seed in 0..500 {
            let mut throws = VecDeque::new();
            let seen = Schedule::in_hand(seed, World::Core, |range, shown| {
                assert!(range.contains(&shown), "{shown} of {range:?}");
                throws.push_back((range, shown));
                shown
            });
            assert_eq!(seen, Schedule::generate(seed, World::Core));
            let again = Schedule::in_hand(seed, World::Core, |range, _| {
                let (possible, shown) = throws.pop_front().unwrap();
                assert_eq!(possible, range);
                shown
            });
            assert_eq!(again, seen);
            assert!(throws.is_empty());
        }
    }

    #[test]
    fn whatever_the_dice_show_the_schedule_is_legal() {
        let hands: [fn(RangeInclusive<u64>, u64) -> u64; 4] =
            [|range, _| *range.start(), |range, _| *range.end(), |_, _| 0, |_, _| u64::MAX];
        for hand in hands {
            for world in World::ALL {
                assert_eq!(Schedule::in_hand(1, world, hand).check(), Ok(()));
            }
        }
    }

    const OF_STRANGERS: [&str; 2] = ["strangers_connect", "impersonate"];

    #[test]
    fn every_action_occurs_in_both_worlds() {
        for world in World::ALL {
            let steps = (0..3000).flat_map(|seed| Schedule::generate(seed, world).steps);
            let seen: BTreeSet<_> = steps.map(|step| step.action.name()).collect();
            // Sessions of the core have no sockets that a stranger could open.
            let is_there = |name: &&str| world == World::Turmoil || !OF_STRANGERS.contains(name);
            let all: BTreeSet<_> = Action::NAMES.into_iter().filter(is_there).collect();
            assert_eq!(seen, all);
        }
    }

    #[test]
    fn streams_are_dialled_once_and_before_anything_else() {
        for seed in 0..3000 {
            let mut dialled = BTreeSet::new();
            for step in Schedule::generate(seed, World::Core).steps {
                match (step.action.stream(), &step.action) {
                    (Some(stream), Action::Dial { .. }) => assert!(dialled.insert(stream)),
                    (Some(stream), action) => assert!(dialled.contains(&stream), "{action}"),
                    (None, _) => {}
                }
            }
        }
    }
}
