//! Random numbers, one stream an actor, and the timeline of the steps.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::schedule::{Action, Step};

/// The streams of random numbers. Each is independent of the draws of the others.
#[derive(Clone, Copy)]
pub(super) enum RandomStream {
    Swarm,
    Knobs,
    Cast,
    TrafficEnd,
    Hosts,
    Crawl,
    Many,
    Door,
    Unauthenticated,
    Impostors,
    Application(u16),
    LinkKnobs(u8),
    Host(u8),
    Agent(u8),
    Hostile(u8),
}

/// Sees the possible values of a draw and the drawn one, and returns the one that counts.
type Hand<'a> = dyn FnMut(RangeInclusive<u64>, u64) -> u64 + 'a;

/// The source of the actors' random numbers.
#[derive(Clone, Copy)]
pub(super) struct Bag<'a> {
    seed: u64,
    hand: Option<&'a RefCell<Hand<'a>>>,
}

/// The random numbers of one actor, the same on every machine.
pub(super) struct Random<'a> {
    rng: Xoshiro256PlusPlus,
    hand: Option<&'a RefCell<Hand<'a>>>,
}

impl<'a> Bag<'a> {
    /// The random numbers of a seed.
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, hand: None }
    }

    /// The random numbers of a seed, each draw of which passes through a hand.
    pub(super) const fn in_hand(seed: u64, hand: &'a RefCell<Hand<'a>>) -> Self {
        Self { seed, hand: Some(hand) }
    }

    pub(super) fn random(self, actor: RandomStream) -> Random<'a> {
        let stream = match actor {
            RandomStream::Swarm => 0,
            RandomStream::Knobs => 1,
            RandomStream::Cast => 2,
            RandomStream::TrafficEnd => 3,
            RandomStream::Hosts => 4,
            RandomStream::Crawl => 5,
            RandomStream::Many => 6,
            RandomStream::Door => 7,
            RandomStream::Unauthenticated => 8,
            RandomStream::Impostors => 9,
            RandomStream::Application(number) => 1 << 32 | u64::from(number),
            RandomStream::LinkKnobs(number) => 2 << 32 | u64::from(number),
            RandomStream::Host(number) => 3 << 32 | u64::from(number),
            RandomStream::Agent(number) => 4 << 32 | u64::from(number),
            RandomStream::Hostile(number) => 5 << 32 | u64::from(number),
        };
        // Two odd factors keep neighbouring seeds and neighbouring actors apart; the generator
        // itself mixes the sum.
        let state = self
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        Random { rng: Xoshiro256PlusPlus::seed_from_u64(state), hand: self.hand }
    }
}

impl Random<'_> {
    /// Draws an event of so many percent.
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

    /// The count of repetitions, where each may be the last one: `percent` of a hundred continue.
    pub(super) fn times(&mut self, percent: u32, most: u16) -> u16 {
        let mut times = 0;
        while times < most && self.percent(percent) {
            times += 1;
        }
        times
    }

    /// One of the values, each as often as its weight.
    pub(super) fn weighted<T: Clone>(&mut self, weighted: &[(u32, T)]) -> T {
        let total: u32 = weighted.iter().map(|(weight, _)| weight).sum();
        let mut index = self.range(0..=total.max(1) - 1);
        for (weight, value) in weighted {
            if index < *weight {
                return value.clone();
            }
            index -= weight;
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

/// The steps of the actors, each in its own order, before they are put into one.
#[derive(Default)]
pub(super) struct Timeline(Vec<(u32, Action)>);

impl Timeline {
    /// An event at so many milliseconds.
    pub(super) fn at(&mut self, at: u32, action: Action) {
        self.0.push((at, action));
    }

    /// In the order of their times; at the same time in the order in which they were made, so that
    /// what one actor does stays in its order.
    pub(super) fn into_steps(mut self) -> Vec<Step> {
        self.0.sort_by_key(|(at, _)| *at);
        let mut now = 0;
        let step = |(at, action)| {
            let after = at - now;
            now = at;
            Step { after, action }
        };
        self.0.into_iter().map(step).collect()
    }
}
