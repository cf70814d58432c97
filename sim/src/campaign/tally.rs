//! Counts over many schedules: actions, lengths, situations, virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::{Action, Schedule};
use crate::situation::{Seen, Situation};
use crate::{Outcome, World};

/// What many schedules have done and reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// How many schedules were run.
    pub schedules: u64,
    /// Virtual time of all of them.
    pub virtual_time: Duration,
    /// How often each action was in a schedule.
    pub actions: BTreeMap<String, u64>,
    /// How many steps schedules had: for each number of steps, how many schedules.
    pub lengths: BTreeMap<usize, u64>,
    /// Which situations were reached.
    pub situations: BTreeMap<Situation, Reached>,
}

/// How often a situation was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// By how many schedules.
    pub schedules: u64,
    /// The smallest seed that got there.
    pub first_seed: u64,
}

impl Tally {
    /// Adds what became of a schedule.
    pub fn count(&mut self, schedule: &Schedule, outcome: &Outcome) {
        self.schedules += 1;
        self.virtual_time += outcome.virtual_time;
        *self.lengths.entry(schedule.steps.len()).or_default() += 1;
        for step in &schedule.steps {
            self.count_action(&step.action);
        }
        self.count_seen(schedule.seed, outcome.seen);
    }

    fn count_action(&mut self, action: &Action) {
        let name = action.name();
        match self.actions.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.actions.insert(name.to_string(), 1)),
        }
    }

    fn count_seen(&mut self, seed: u64, seen: Seen) {
        for situation in seen.iter() {
            let once = Reached { schedules: 1, first_seed: seed };
            let reached = self.situations.entry(situation);
            reached.and_modify(|reached| reached.absorb(once)).or_insert(once);
        }
    }

    /// Adds another tally.
    pub fn absorb(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.virtual_time += other.virtual_time;
        for (name, count) in &other.actions {
            *self.actions.entry(name.clone()).or_default() += count;
        }
        for (length, count) in &other.lengths {
            *self.lengths.entry(*length).or_default() += count;
        }
        for (situation, more) in &other.situations {
            let reached = self.situations.entry(*situation);
            reached.and_modify(|reached| reached.absorb(*more)).or_insert(*more);
        }
    }

    /// The situations of a world that nobody reached.
    pub fn unreached(&self, world: World) -> impl Iterator<Item = Situation> + '_ {
        Situation::of(world).filter(|situation| !self.situations.contains_key(situation))
    }

    /// The situation of a world that the fewest schedules reached, and how many those are.
    #[must_use]
    pub fn rarest(&self, world: World) -> Option<(Situation, u64)> {
        let count =
            |situation| self.situations.get(&situation).map_or(0, |reached| reached.schedules);
        let all = Situation::of(world).map(|situation| (situation, count(situation)));
        all.min_by_key(|(_, schedules)| *schedules)
    }
}

impl Reached {
    fn absorb(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.first_seed = self.first_seed.min(other.first_seed);
    }
}
