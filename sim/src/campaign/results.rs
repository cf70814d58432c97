//! The results of a run as a file, from which an interrupted run continues.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::{BLOCK, Plan, Shard};
use crate::schedule::{Action, Schedule};
use crate::situation::{Situation, Situations};
use crate::violation::Violation;
use crate::{Outcome, World};

/// No run takes so long, and no sum of its times overflows.
const AGES: Duration = Duration::from_secs(1 << 40);

/// What came of a run: a file that is shown, merged with those of other shards, and gone on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Which schedules.
    pub plan: Plan,
    /// Which other shards are in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Shard>,
    /// How many blocks are done, from the first one on.
    pub blocks_done: u64,
    /// Whether nothing is left to do.
    pub complete: bool,
    /// How long it took, all parts of it together.
    pub took: Duration,
    /// On how many threads.
    pub threads: usize,
    /// The counts of all schedules.
    pub tally: Tally,
    /// What must not happen and did.
    pub failures: Vec<FailedSchedule>,
    /// How many schedules were done at which time: the rate, to be drawn.
    pub samples: Vec<Sample>,
}

/// A seed whose schedule showed a violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedSchedule {
    /// The seed.
    pub seed: u64,
    /// The violation that it showed.
    pub violation: Violation,
}

/// How far a run was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Since its start.
    pub at: Duration,
    /// Schedules done.
    pub schedules: u64,
}

/// Why results cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There are none.
    #[error("there is nothing to merge")]
    Nothing,
    /// They are of other schedules.
    #[error("shard {0} is of another run: its world, first seed or number of schedules differ")]
    OtherRun(Shard),
    /// Two are of the same part.
    #[error("shard {0} is there twice")]
    Twice(Shard),
}

impl Results {
    /// Those of a run that begins.
    #[must_use]
    pub fn new(plan: Plan, threads: usize) -> Self {
        Self {
            plan,
            merged: Vec::new(),
            blocks_done: 0,
            complete: false,
            took: Duration::ZERO,
            threads,
            tally: Tally::default(),
            failures: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// Whether a run can have had them: results that are edited by hand may be wrong.
    ///
    /// # Errors
    /// What cannot be.
    pub fn check(&self) -> Result<(), String> {
        let Shard { index, of } = self.plan.shard;
        if index >= of {
            return Err(format!("there is no shard {index} of {of}"));
        }
        let last = self.blocks_done.checked_sub(1);
        if last.is_some_and(|last| self.plan.block(last).is_none()) {
            return Err(format!("{} blocks are more than there are", self.blocks_done));
        }
        if self.tally.schedules > self.blocks_done.saturating_mul(BLOCK) {
            return Err(format!("{} schedules are more than were run", self.tally.schedules));
        }
        if self.took.max(self.tally.virtual_time) > AGES {
            return Err("no run takes so long".into());
        }
        Ok(())
    }

    /// Schedules a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
    pub fn rate(&self) -> f64 {
        self.tally.schedules as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Puts the results of shards together. Missing shards leave the whole incomplete.
    ///
    /// # Errors
    /// They are not parts of one run.
    pub fn merge(parts: &[Self]) -> Result<Self, MergeError> {
        let first = parts.first().ok_or(MergeError::Nothing)?;
        let whole = Plan { shard: Shard::WHOLE, ..first.plan.clone() };
        let mut results = Self::new(whole.clone(), 0);
        for part in parts {
            let of = Plan { shard: Shard::WHOLE, ..part.plan.clone() };
            if of != whole || part.plan.shard.of != first.plan.shard.of {
                return Err(MergeError::OtherRun(part.plan.shard));
            }
            if results.merged.contains(&part.plan.shard) {
                return Err(MergeError::Twice(part.plan.shard));
            }
            results.absorb(part);
        }
        results.failures.sort_by_key(|failure| failure.seed);
        let all_there = results.merged.len() == first.plan.shard.of as usize;
        results.complete = all_there && parts.iter().all(|part| part.complete);
        Ok(results)
    }

    fn absorb(&mut self, part: &Self) {
        self.merged.push(part.plan.shard);
        self.blocks_done += part.blocks_done;
        // Shards run beside each other.
        self.took = self.took.max(part.took);
        self.threads += part.threads;
        self.tally.absorb(&part.tally);
        self.failures.extend(part.failures.iter().cloned());
    }
}

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

    fn count_seen(&mut self, seed: u64, seen: Situations) {
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

    /// The situations of a world that no schedule reached.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Reached;
    use crate::{Situation, World};

    fn part(index: u32) -> Results {
        let shard = Shard { index, of: 2 };
        let plan = Plan {
            world: World::Core,
            seeded_bug: None,
            first_seed: 5,
            schedules: Some(1000),
            shard,
        };
        let mut part = Results::new(plan, 2);
        part.tally.schedules = 500;
        part.complete = true;
        let reached = Reached { schedules: 3, first_seed: 100 + u64::from(index) };
        part.tally.situations.insert(Situation::Finished, reached);
        part
    }

    #[test]
    fn shards_make_a_whole() {
        let whole = Results::merge(&[part(1), part(0)]).unwrap();
        assert!(whole.complete);
        assert_eq!((whole.tally.schedules, whole.threads), (1000, 4));
        let reached = whole.tally.situations[&Situation::Finished];
        assert_eq!(reached, Reached { schedules: 6, first_seed: 100 });
    }

    #[test]
    fn what_no_run_can_have_is_told() {
        let good = Results { blocks_done: 1, ..part(1) };
        assert_eq!(good.check(), Ok(()));
        let mut shard = good.clone();
        shard.plan.shard.index = 2;
        let blocks = Results { blocks_done: u64::MAX, ..good.clone() };
        let mut schedules = good.clone();
        schedules.tally.schedules = 501;
        let took = Results { took: Duration::MAX, ..good.clone() };
        let mut time = good;
        time.tally.virtual_time = Duration::MAX;
        for bad in [shard, blocks, schedules, took, time] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_shard_leaves_it_incomplete() {
        assert!(!Results::merge(&[part(1)]).unwrap().complete);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let shard = Shard { index: 0, of: 2 };
        assert_eq!(Results::merge(&[]), Err(MergeError::Nothing));
        assert_eq!(Results::merge(&[part(0), part(0)]), Err(MergeError::Twice(shard)));
        let mut other = part(0);
        other.plan.first_seed = 6;
        assert_eq!(Results::merge(&[part(1), other]), Err(MergeError::OtherRun(shard)));
    }
}
