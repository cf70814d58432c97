//! Random numbers of the generator, one stream an actor: a change to one leaves the others alone.

use std::cell::RefCell;
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
    Crawl,
    Crowd,
    Door,
    Strangers,
    Impostors,
    Application(u16),
    Link(u8),
    Host(u8),
    Agent(u8),
    Hostile(u8),
}

/// Sees what a throw could show and what it shows, and says what counts.
type Hand<'a> = dyn FnMut(RangeInclusive<u64>, u64) -> u64 + 'a;

/// Where the actors have their dice from.
#[derive(Clone, Copy)]
pub(super) struct Bag<'a> {
    seed: u64,
    hand: Option<&'a RefCell<Hand<'a>>>,
}

/// The dice of one actor, the same on every machine.
pub(super) struct Dice<'a> {
    rng: Xoshiro256PlusPlus,
    hand: Option<&'a RefCell<Hand<'a>>>,
}

impl<'a> Bag<'a> {
    /// The dice of a seed.
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, hand: None }
    }

    /// The dice of a seed, each throw of which goes through a hand.
    pub(super) const fn in_hand(seed: u64, hand: &'a RefCell<Hand<'a>>) -> Self {
        Self { seed, hand: Some(hand) }
    }

    pub(super) fn dice(self, actor: Actor) -> Dice<'a> {
        let stream = match actor {
            Actor::Swarm => 0,
            Actor::Knobs => 1,
            Actor::Cast => 2,
            Actor::Finale => 3,
            Actor::Hosts => 4,
            Actor::Crawl => 5,
            Actor::Crowd => 6,
            Actor::Door => 7,
            Actor::Strangers => 8,
            Actor::Impostors => 9,
            Actor::Application(number) => 1 << 32 | u64::from(number),
            Actor::Link(number) => 2 << 32 | u64::from(number),
            Actor::Host(number) => 3 << 32 | u64::from(number),
            Actor::Agent(number) => 4 << 32 | u64::from(number),
            Actor::Hostile(number) => 5 << 32 | u64::from(number),
        };
        // Two odd factors keep neighbouring seeds and neighbouring actors apart; the generator
        // itself mixes the sum.
        let state = self
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        Dice { rng: Xoshiro256PlusPlus::seed_from_u64(state), hand: self.hand }
    }
}

impl Dice<'_> {
    /// Whether something happens that happens in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        let happens = self.rng.random_ratio(percent, 100);
        // In a hand that always shows the least, nothing happens.
        let first = u64::from(100 - percent.min(100));
        self.show(0..=99, if happens { 99 } else { 0 }) >= first
    }

    pub(super) fn range(&mut self, range: RangeInclusive<u32>) -> u32 {
        let shown = self.rng.random_range(range.clone());
        let (start, end) = range.into_inner();
        let counts = self.show(start.into()..=end.into(), shown.into());
        u32::try_from(counts).unwrap_or(shown)
    }

    pub(super) fn any(&mut self) -> u64 {
        let shown = self.rng.random();
        self.show(0..=u64::MAX, shown)
    }

    pub(super) fn byte(&mut self) -> u8 {
        let shown: u8 = self.rng.random();
        u8::try_from(self.show(0..=255, shown.into())).unwrap_or(shown)
    }

    /// A number below `count`, which is not 0.
    pub(super) fn below(&mut self, count: u8) -> u8 {
        let count = count.max(1);
        let shown = self.rng.random_range(0..count);
        u8::try_from(self.show(0..=u64::from(count - 1), shown.into())).unwrap_or(shown)
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
        let mut place = self.range(0..=total.max(1) - 1);
        for (weight, value) in weighted {
            if place < *weight {
                return value.clone();
            }
            place -= weight;
        }
        unreachable!("the place is below the total of the weights, which are not empty")
    }

    /// What counts of a throw that shows this.
    fn show(&self, range: RangeInclusive<u64>, shown: u64) -> u64 {
        match self.hand {
            None => shown,
            Some(hand) => {
                let (start, end) = (*range.start(), *range.end());
                hand.borrow_mut()(range, shown).clamp(start, end)
            }
        }
    }
}
