//! A schedule from a seed.
//!
//! Every seed draws its own conditions and switches a random subset of all actions and faults off
//! (swarm testing): a schedule that can do everything does nothing for long. Each actor throws its own
//! dice, so that a new one for one of them does not reshuffle the others, and each makes only steps
//! that are legal after those it made before.

mod applications;
mod cast;
mod dice;
mod hostile;
mod hosts;
mod knobs;
mod links;
mod swarm;
mod target;
mod timeline;

use super::{Finale, Schedule, VERSION};
use crate::World;
use dice::{Actor, Dice};
use swarm::Swarm;
use timeline::Timeline;

impl Schedule {
    /// The schedule of a seed. What only the other world can express is left out; otherwise both
    /// worlds have the same.
    #[must_use]
    pub fn generate(seed: u64, world: World) -> Self {
        let swarm = Swarm::draw(&mut Dice::of(seed, Actor::Swarm), world);
        let knobs = knobs::draw(seed, &swarm);
        let cast = cast::draw(&mut Dice::of(seed, Actor::Cast), &swarm);
        let mut timeline = Timeline::default();
        applications::act(seed, &swarm, &cast, &knobs, &mut timeline);
        links::act(seed, &swarm, &cast, &mut timeline);
        hosts::act(seed, &swarm, &cast, &knobs, &mut timeline);
        hostile::act(seed, &swarm, &cast, &knobs, &mut timeline);
        let finale = finale(&mut Dice::of(seed, Actor::Finale));
        Self { version: VERSION, seed, cast, knobs, steps: timeline.into_steps(), finale }
    }
}

fn finale(dice: &mut Dice) -> Finale {
    dice.weighted(&[(5, Finale::Finish), (3, Finale::Drop), (2, Finale::Shutdown)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    fn every_action_occurs_in_both_worlds() {
        for world in World::ALL {
            let steps = (0..3000).flat_map(|seed| Schedule::generate(seed, world).steps);
            let seen: BTreeSet<_> = steps.map(|step| step.action.name()).collect();
            let all: BTreeSet<_> = Action::NAMES.into_iter().collect();
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
