//! The seeds of a run, and their blocks among shards and threads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::World;

/// How many seeds are handed out at a time: little enough that threads end together, enough that
/// handing out costs nothing.
pub const BLOCK: u64 = 500;

/// Which schedules are run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where.
    pub world: World,
    /// On which broken tunnel, if not on the right one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeded_bug: Option<String>,
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds there are, those of all shards together; without it, as many as there is
    /// time for.
    pub schedules: Option<u64>,
    /// Which part of them.
    pub shard: Shard,
}

/// One of several equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Which part, from 0 on.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

/// Why a text names no [`Shard`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShardError {
    /// It has another form.
    #[error("a shard is INDEX/COUNT, as in 0/4")]
    Form,
    /// There is no such part.
    #[error("there is no shard {index} of {of}: the first one is 0")]
    NoSuch {
        /// The part.
        index: u32,
        /// How many there are.
        of: u32,
    },
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, of: 1 };
}

impl Plan {
    /// The seeds of the block that this shard takes as its number `turn`; `None` when there is
    /// nothing left.
    #[must_use]
    pub fn block(&self, turn: u64) -> Option<std::ops::Range<u64>> {
        let number =
            turn.checked_mul(self.shard.of.into())?.checked_add(self.shard.index.into())?;
        let from = number.checked_mul(BLOCK)?;
        let to = from.checked_add(BLOCK)?.min(self.schedules.unwrap_or(u64::MAX));
        let seed = |index: u64| self.first_seed.checked_add(index);
        let (from, to) = (seed(from)?, seed(to)?);
        (from < to).then_some(from..to)
    }

    /// How many schedules this shard runs, where that is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        let all = self.schedules?;
        let (index, of) = (u64::from(self.shard.index), u64::from(self.shard.of));
        let (whole_blocks, rest) = (all / BLOCK, all % BLOCK);
        let mine = whole_blocks / of + u64::from(whole_blocks % of > index);
        let last = if whole_blocks % of == index { rest } else { 0 };
        Some(mine * BLOCK + last)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, of) = text.split_once('/').ok_or(ShardError::Form)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| ShardError::Form);
        let (index, of) = (number(index)?, number(of)?);
        if index < of { Ok(Self { index, of }) } else { Err(ShardError::NoSuch { index, of }) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn seeds(plan: &Plan) -> Vec<u64> {
        (0..).map_while(|turn| plan.block(turn)).flatten().collect()
    }

    #[test]
    fn shards_are_disjoint_and_together_the_whole() {
        for schedules in [0, 1, 499, 500, 501, 2000, 5432] {
            for of in [1, 2, 3, 7] {
                let mut all = BTreeSet::new();
                for index in 0..of {
                    let shard = Shard { index, of };
                    let plan = Plan {
                        world: World::Core,
                        seeded_bug: None,
                        first_seed: 90,
                        schedules: Some(schedules),
                        shard,
                    };
                    let seeds = seeds(&plan);
                    assert_eq!(plan.length(), Some(seeds.len() as u64), "{shard} of {schedules}");
                    assert!(seeds.into_iter().all(|seed| all.insert(seed)));
                }
                assert_eq!(all, (90..90 + schedules).collect());
            }
        }
    }

    #[test]
    fn the_last_seed_of_all_is_the_end() {
        let plan = Plan {
            world: World::Core,
            seeded_bug: None,
            first_seed: u64::MAX - 700,
            schedules: None,
            shard: Shard::WHOLE,
        };
        assert_eq!(plan.block(0), Some(u64::MAX - 700..u64::MAX - 200));
        assert_eq!(plan.block(1), None);
    }

    #[test]
    fn a_shard_has_a_form() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        assert_eq!("3/3".parse::<Shard>(), Err(ShardError::NoSuch { index: 3, of: 3 }));
        assert_eq!("0/0".parse::<Shard>(), Err(ShardError::NoSuch { index: 0, of: 0 }));
        assert_eq!("x/3".parse::<Shard>(), Err(ShardError::Form));
        assert_eq!("3".parse::<Shard>(), Err(ShardError::Form));
    }
}
