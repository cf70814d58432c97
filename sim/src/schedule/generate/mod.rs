//! A schedule from a seed.
//!
//! Every seed draws its own conditions and switches a random subset of all actions and faults off (swarm
//! testing): a schedule that can do everything does nothing for long. Each actor has its own random numbers,
//! so that a new draw of one of them does not reshuffle the others, and each makes only steps that are legal
//! after those it made before.

mod applications;
mod hostile;
mod hosts;
mod knobs;
mod random;
mod swarm;
mod unauthenticated;

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::{Schedule, TrafficEnd, VERSION};
use crate::World;
use random::Timeline;
use random::{Bag, Random, RandomStream};
use swarm::Swarm;

impl Schedule {
    /// The schedule of a seed. What only the other world can express is left out; otherwise both
    /// worlds have the same.
    #[must_use]
    pub fn generate(seed: u64, world: World) -> Self {
        draw(seed, world, Bag::new(seed))
    }

    /// As [`generate`](Self::generate), with every draw in the hand of the caller, who sees the possible
    /// values and the drawn one, and returns the one that counts. A caller that returns the drawn one gets
    /// the schedule of the seed.
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
    let swarm = Swarm::draw(&mut bag.random(RandomStream::Swarm), world);
    let mut knobs = knobs::draw_knobs(bag, &swarm);
    unauthenticated::conditions(bag, &swarm, &mut knobs);
    let cast = knobs::draw_cast(&mut bag.random(RandomStream::Cast), &swarm);
    let mut timeline = Timeline::default();
    applications::act(bag, &swarm, &cast, &knobs, &mut timeline);
    applications::act_at_once(bag, &swarm, &cast, &knobs, &mut timeline);
    hosts::act_on_links(bag, &swarm, &cast, &mut timeline);
    hosts::act_on_hosts(bag, &swarm, &cast, &knobs, &mut timeline);
    hostile::act(bag, &swarm, &cast, &knobs, &mut timeline);
    unauthenticated::act(bag, &swarm, &cast, &knobs, &mut timeline);
    let traffic_end = traffic_end(&mut bag.random(RandomStream::TrafficEnd));
    Schedule { version: VERSION, seed, cast, knobs, steps: timeline.into_steps(), traffic_end }
}

fn traffic_end(random: &mut Random<'_>) -> TrafficEnd {
    random.weighted(&[(5, TrafficEnd::Finish), (3, TrafficEnd::Drop), (2, TrafficEnd::Shutdown)])
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

    const OF_UNAUTHENTICATED: [&str; 2] = ["unauthenticated_connect", "impersonate"];

    #[test]
    fn every_action_occurs_in_both_worlds() {
        for world in World::ALL {
            let steps = (0..3000).flat_map(|seed| Schedule::generate(seed, world).steps);
            let seen: BTreeSet<_> = steps.map(|step| step.action.name()).collect();
            // Sessions of the core have no sockets that an unauthenticated remote could open.
            let is_there =
                |name: &&str| world == World::Turmoil || !OF_UNAUTHENTICATED.contains(name);
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
