//! Random numbers of the core world, one stream an actor.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;

/// A stream of random numbers of one actor, which no other one reshuffles.
#[derive(Clone, Debug)]
pub(super) struct Dice(SplitMix64);

impl Dice {
    /// The stream of the actor with this number.
    pub(super) fn new(seed: u64, actor: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed ^ actor.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        if least >= most { least } else { self.0.random_range(least..=most) }
    }
}
