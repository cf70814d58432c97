use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Who throws dice. Each has its own, whatever the others do with theirs.
#[derive(Clone, Copy)]
pub(super) enum Actor {
    Swarm,
    Knobs,
    Cast,
    Finale,
    Hosts,
    Application(u16),
    Link(u8),
    Host(u8),
    Agent(u8),
    Hostile(u8),
}

/// The dice of one actor, the same on every machine.
pub(super) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(super) fn of(seed: u64, actor: Actor) -> Self {
        let stream = match actor {
            Actor::Swarm => 0,
            Actor::Knobs => 1,
            Actor::Cast => 2,
            Actor::Finale => 3,
            Actor::Hosts => 4,
            Actor::Application(number) => 1 << 32 | u64::from(number),
            Actor::Link(number) => 2 << 32 | u64::from(number),
            Actor::Host(number) => 3 << 32 | u64::from(number),
            Actor::Agent(number) => 4 << 32 | u64::from(number),
            Actor::Hostile(number) => 5 << 32 | u64::from(number),
        };
        // Two odd factors keep neighbouring seeds and neighbouring actors apart; the generator
        // itself mixes the sum.
        let state = seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        Self(Xoshiro256PlusPlus::seed_from_u64(state))
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.0.random_ratio(percent, 100)
    }

    pub(super) fn range(&mut self, range: RangeInclusive<u32>) -> u32 {
        self.0.random_range(range)
    }

    pub(super) fn any(&mut self) -> u64 {
        self.0.random()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.0.random()
    }

    /// A number below `count`, which is not 0.
    pub(super) fn below(&mut self, count: u8) -> u8 {
        self.0.random_range(0..count.max(1))
    }

    /// How often, where each time may be the last one: `percent` of a hundred go on.
    pub(super) fn times(&mut self, percent: u32, most: u16) -> u16 {
        let mut times = 0;
        while times < most && self.percent(percent) {
            times += 1;
        }
        times
    }

    /// One of the values, each as often as its weight says.
    pub(super) fn weighted<T: Clone>(&mut self, weighted: &[(u32, T)]) -> T {
        let total: u32 = weighted.iter().map(|(weight, _)| weight).sum();
        let mut place = self.0.random_range(0..total.max(1));
        for (weight, value) in weighted {
            if place < *weight {
                return value.clone();
            }
            place -= weight;
        }
        unreachable!("the place is below the total of the weights, which are not empty")
    }
}
