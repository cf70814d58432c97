//! When to connect again.

use core::time::Duration;

use crate::Instant;

/// The longest that a server's wish to be left alone counts. A wish for longer is more likely a mistake
/// than a plan, and nobody is there to undo it.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// How long an agent waits before it connects again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// The ceiling of the first delay after a try that failed.
    pub initial: Duration,
    /// The least ceiling of the delay after a session that ended. All the agents of a server that
    /// restarts come back within this time: a large fleet needs a larger one.
    pub spread: Duration,
    /// The ceiling of every later delay.
    pub max: Duration,
    /// By how much the ceiling grows with each try; 0 counts as 1.
    pub multiplier: u32,
    /// How long a session must have lasted for the next delay to be a first one again. A server
    /// that accepts sessions and drops them at once is as sick as one that refuses them.
    pub stable_after: Duration,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            spread: Duration::from_secs(5),
            max: Duration::from_secs(30),
            multiplier: 2,
            stable_after: Duration::from_secs(30),
        }
    }
}

/// When an agent connects again: exponential backoff with full jitter.
///
/// The result of each attempt goes in, the time to wait comes out:
///
/// ```
/// # use core::time::Duration;
/// # use watertight_core::{Instant, Reconnect, ReconnectConfig};
/// # let now = Instant::EPOCH;
/// let mut reconnect = Reconnect::new(ReconnectConfig::default(), 7);
/// let delay = reconnect.failed(now); // wait, try again …
/// assert!(delay <= Duration::from_secs(1));
/// reconnect.connected(now); // … it worked …
/// let delay = reconnect.disconnected(now); // … for a moment
/// assert!(delay <= Duration::from_secs(5));
/// ```
///
/// A delay is anything from nothing to the ceiling. That spreads the agents of a server that comes
/// back over the whole time, the first time as well.
#[derive(Clone, Debug)]
pub struct Reconnect {
    config: ReconnectConfig,
    rng: Rng,
    ceiling: Duration,
    connected: Option<Instant>,
}

impl Reconnect {
    /// An agent that has not connected yet. Two agents need two seeds.
    #[must_use]
    pub fn new(config: ReconnectConfig, seed: u64) -> Self {
        let ceiling = config.initial.min(config.max);
        Self { config, rng: Rng::new(seed), ceiling, connected: None }
    }

    /// A session is established.
    pub const fn connected(&mut self, now: Instant) {
        self.connected = Some(now);
    }

    /// The session ended: how long to wait before the next try.
    #[must_use]
    pub fn disconnected(&mut self, now: Instant) -> Duration {
        if self.was_stable(now) {
            self.ceiling = self.config.initial.min(self.config.max);
        }
        let ceiling = self.ceiling.max(self.config.spread);
        self.grow();
        self.jittered(ceiling)
    }

    /// The session ended because another agent with the same key took over: how long to wait before
    /// taking the key back. The server sees to it that two such agents do not take turns all the time.
    /// Here the delay does not grow: the other agent may be an impostor, who does not wait.
    #[must_use]
    pub fn replaced(&mut self, now: Instant) -> Duration {
        if self.was_stable(now) {
            self.ceiling = self.config.initial.min(self.config.max);
        }
        self.connected = None;
        self.jittered(self.config.spread.max(self.config.initial).min(self.config.max))
    }

    fn was_stable(&self, now: Instant) -> bool {
        self.connected.is_some_and(|since| now - since >= self.config.stable_after)
    }

    /// The try did not lead to a session: how long to wait before the next one.
    #[must_use]
    pub fn failed(&mut self, _now: Instant) -> Duration {
        let ceiling = self.ceiling;
        self.grow();
        self.jittered(ceiling)
    }

    /// The server refused the session, and wants to be left alone for `retry_after`: how long to
    /// wait. No shorter than that, [`MAX_RETRY_AFTER`] at most, and then the delay of a try that
    /// failed: the agents that were refused together do not come back together.
    #[must_use]
    pub fn refused(&mut self, now: Instant, retry_after: Duration) -> Duration {
        retry_after.min(MAX_RETRY_AFTER).saturating_add(self.failed(now))
    }

    fn grow(&mut self) {
        self.connected = None;
        let grown = self.ceiling.saturating_mul(self.config.multiplier.max(1));
        self.ceiling = grown.min(self.config.max);
        debug_assert!(self.ceiling <= self.config.max, "the backoff exceeds its maximum");
    }

    /// The longest that the next delay can be after a try that fails.
    #[must_use]
    pub const fn ceiling(&self) -> Duration {
        self.ceiling
    }

    fn jittered(&mut self, ceiling: Duration) -> Duration {
        let most = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.up_to(most))
    }
}

/// SplitMix64: numbers that look random and follow from the seed alone. Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 to `most`, each as likely as the others to within 1 in 2⁶⁴ `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let scaled = u128::from(self.next()) * (u128::from(most) + 1);
        debug_assert!(scaled >> 64 <= u128::from(most), "a random number exceeds its bound");
        u64::try_from(scaled >> 64).unwrap_or(most)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const CONFIG: ReconnectConfig = ReconnectConfig {
        initial: Duration::from_millis(500),
        spread: Duration::from_secs(5),
        max: Duration::from_secs(30),
        multiplier: 2,
        stable_after: Duration::from_secs(30),
    };

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Failed,
        Session(Duration),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let session =
            (0..60_000_u64).prop_map(|millis| Step::Session(Duration::from_millis(millis)));
        prop::collection::vec(prop_oneof![Just(Step::Failed), session], 1..50)
    }

    /// The ceiling that each step met, and the delay that it got.
    fn run(config: ReconnectConfig, seed: u64, steps: &[Step]) -> Vec<(Duration, Duration)> {
        let mut reconnect = Reconnect::new(config, seed);
        let mut now = Instant::EPOCH;
        let mut out = Vec::new();
        for step in steps {
            let mut ceiling = reconnect.ceiling();
            let delay = match *step {
                Step::Failed => reconnect.failed(now),
                Step::Session(lasted) => {
                    reconnect.connected(now);
                    now = now + lasted;
                    if lasted >= config.stable_after {
                        ceiling = config.initial;
                    }
                    ceiling = ceiling.max(config.spread);
                    reconnect.disconnected(now)
                }
            };
            out.push((ceiling, delay));
            now = now + delay;
        }
        out
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_largest() {
        let ceilings = run(CONFIG, 1, &[Step::Failed; 9]).into_iter().map(|(ceiling, _)| ceiling);
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        assert!(ceilings.eq(expected.map(Duration::from_millis)));
    }

    #[test]
    fn a_stable_session_makes_the_next_delay_a_first_one() {
        let mut reconnect = Reconnect::new(CONFIG, 1);
        for _ in 0..9 {
            let _ = reconnect.failed(Instant::EPOCH);
        }
        reconnect.connected(Instant::EPOCH);
        let delay = reconnect.disconnected(Instant::EPOCH + CONFIG.stable_after);
        assert!(delay <= CONFIG.spread);
        assert_eq!(reconnect.ceiling(), 2 * CONFIG.initial);
    }

    #[test]
    fn who_was_replaced_waits_though_no_others_come_back_with_it() {
        let mut reconnect = Reconnect::new(ReconnectConfig { spread: Duration::ZERO, ..CONFIG }, 1);
        let delays: Duration = (0..100).map(|_| reconnect.replaced(Instant::EPOCH)).sum();
        assert!(delays > 30 * CONFIG.initial && delays < 70 * CONFIG.initial, "{delays:?}");
    }

    #[test]
    fn an_agent_that_was_replaced_waits_no_longer_each_time() {
        let mut reconnect = Reconnect::new(CONFIG, 1);
        let mut now = Instant::EPOCH;
        for _ in 0..100 {
            reconnect.connected(now);
            now = now + CONFIG.stable_after;
            assert!(reconnect.replaced(now) <= CONFIG.spread);
            // The server lets the other one have its turn.
            assert_eq!(reconnect.ceiling(), CONFIG.initial);
            let _ = reconnect.refused(now, Duration::from_secs(20));
        }
    }

    #[test]
    fn a_failed_try_is_no_session() {
        let mut reconnect = Reconnect::new(CONFIG, 1);
        reconnect.connected(Instant::EPOCH);
        let _ = reconnect.disconnected(Instant::EPOCH);
        let _ = reconnect.disconnected(Instant::EPOCH + CONFIG.stable_after);
        assert_eq!(reconnect.ceiling(), 4 * CONFIG.initial);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn a_fleet_does_not_come_back_at_once() {
        let agents = 10_000;
        let first_tenth = (0..agents)
            .map(|seed| run(CONFIG, seed, &[Step::Session(Duration::from_secs(3600))])[0].1)
            .filter(|&delay| delay < CONFIG.spread / 10)
            .count();
        assert!((900..1100).contains(&first_tenth), "{first_tenth}");
    }

    #[test]
    fn a_server_is_left_alone_for_as_long_as_it_asks_within_reason() {
        for (asked, least) in [(0, 0), (20, 20), (300, 300), (3600, 300), (u64::MAX, 300)] {
            let (asked, least) = (Duration::from_secs(asked), Duration::from_secs(least));
            let mut delays: Vec<_> = (0..1000)
                .map(|seed| Reconnect::new(CONFIG, seed).refused(Instant::EPOCH, asked))
                .collect();
            delays.sort_unstable();
            assert!(delays[0] >= least && delays[999] <= least + CONFIG.initial);
            assert!(delays[999] - delays[0] > CONFIG.initial / 2, "not all at once");
        }
        let mut reconnect = Reconnect::new(CONFIG, 1);
        let _ = reconnect.refused(Instant::EPOCH, Duration::ZERO);
        assert_eq!(reconnect.ceiling(), 2 * CONFIG.initial);
    }

    #[test]
    fn absurd_settings_stay_harmless() {
        let config = ReconnectConfig {
            initial: Duration::MAX,
            spread: Duration::MAX,
            max: Duration::MAX,
            multiplier: 0,
            stable_after: Duration::ZERO,
        };
        run(config, 3, &[Step::Failed, Step::Session(Duration::MAX), Step::Failed]);
    }

    proptest! {
        #[test]
        fn a_delay_is_below_its_ceiling_and_the_largest(seed: u64, steps in steps()) {
            for (ceiling, delay) in run(CONFIG, seed, &steps) {
                prop_assert!(delay <= ceiling && ceiling <= CONFIG.max);
            }
        }

        #[test]
        fn the_ceiling_never_falls_without_a_stable_session(seed: u64, tries in 1..50_usize) {
            let ceilings: Vec<_> =
                run(CONFIG, seed, &[Step::Failed].repeat(tries)).into_iter().map(|(c, _)| c).collect();
            prop_assert!(ceilings.is_sorted());
        }

        #[test]
        fn the_same_seed_gives_the_same_delays(seed: u64, steps in steps()) {
            prop_assert_eq!(run(CONFIG, seed, &steps), run(CONFIG, seed, &steps));
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_published_generator() {
        let mut rng = super::Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn both_ends_of_a_range_come_up() {
        let mut rng = super::Rng::new(0);
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[usize::try_from(rng.up_to(2)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.up_to(0), 0);
    }
}
