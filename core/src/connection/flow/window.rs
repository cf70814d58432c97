//! The bytes that the remote may have in flight.

use core::time::Duration;

use crate::Instant;

/// A trial of a size takes two windows, and at least this long, because of what the ends' schedulers
/// do meanwhile.
const LEAST_TRIAL: Duration = Duration::from_millis(10);

/// Between a trial that did not pay and the next one: at least this, and so many times its length.
const REST: Duration = Duration::from_secs(1);
const RESTS: u32 = 20;

/// The window of a connection, which adapts to what its reader takes.
///
/// A window that is used up within two round trips may be what holds the remote back, or there may
/// be a queue before the slowest hop, which a larger window only makes longer, and the messages of
/// all connections stand in it. That shows in the rate alone: beyond a size that is free, the
/// window keeps a size only if it pays an eighth. From time to time it tries a smaller or a larger
/// one.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testkit", derive(PartialEq, Eq, Hash))]
pub(super) struct Window {
    size: u64,
    /// Since when, and since which byte, the rate under this size is measured.
    since: Option<(Instant, u64)>,
    trial: Option<Trial>,
    /// The direction of the next trial.
    next: Direction,
    rests_until: Instant,
}

/// The limits of a window's growth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Up to this size it grows without having to pay.
    pub(crate) free: u64,
    pub(crate) max: u64,
    /// Bytes by which the windows of the session together may still grow.
    pub(crate) left: u64,
}

impl Bounds {
    /// No more than half of what is left, so that later connections can grow, too.
    const fn may_double(self, size: u64) -> bool {
        size <= self.left / 2 && size.saturating_mul(2) <= self.max
    }

    /// As long as nobody else has taken what the window gave up.
    const fn may_double_again(self, size: u64) -> bool {
        size <= self.left && size.saturating_mul(2) <= self.max
    }
}

/// A size that has to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "testkit", derive(Hash))]
struct Trial {
    direction: Direction,
    /// Bytes a second under the size before.
    rate: u64,
}

impl Trial {
    /// A larger size makes it an eighth faster, a smaller one not so much slower.
    const fn pays(self, rate: u64) -> bool {
        match self.direction {
            Direction::Up => rate >= self.rate + self.rate / 8,
            Direction::Down => rate >= self.rate - self.rate / 8,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "testkit", derive(Hash))]
enum Direction {
    Up,
    Down,
}

impl Direction {
    const fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl Window {
    pub(super) const fn new(size: u64) -> Self {
        debug_assert!(size > 0, "a window of no bytes stops the remote");
        Self { size, since: None, trial: None, next: Direction::Up, rests_until: Instant::EPOCH }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Takes back what it has grown by, beyond `size`. It may grow again.
    pub(super) fn shrink(&mut self, size: u64) {
        if self.size > size {
            *self = Self::new(size);
        }
    }

    /// Half of it is used up, for the first time or since the last grant; `hurried` if that took
    /// less than two round trips. `taken` bytes have been taken since the beginning.
    pub(super) fn adapt(&mut self, now: Instant, hurried: bool, taken: u64, bounds: Bounds) {
        debug_assert!(self.trial.is_none() || self.since.is_some(), "a trial is not measured");
        if !hurried {
            // The remote does not wait for the window, so a trial has no result.
            self.since = None;
            if let Some(trial) = self.trial.take() {
                self.undo(trial, bounds);
                self.rest(now, Duration::ZERO);
            }
        } else if self.trial.is_none() && self.size < bounds.free {
            self.double(bounds.may_double(self.size));
        } else if let Some((time, rate)) = self.measured(now, taken) {
            self.judge(now, time, rate, bounds);
        }
    }

    /// How long the measurement took and the rate, once it is long enough; then another begins.
    fn measured(&mut self, now: Instant, taken: u64) -> Option<(Duration, u64)> {
        let (since, from) = *self.since.get_or_insert((now, taken));
        let (time, bytes) = (now - since, taken.saturating_sub(from));
        if time < LEAST_TRIAL || bytes < self.size.saturating_mul(2) {
            return None;
        }
        self.since = Some((now, taken));
        let rate = u128::from(bytes) * 1_000_000 / time.as_micros().max(1);
        Some((time, u64::try_from(rate).unwrap_or(u64::MAX)))
    }

    fn judge(&mut self, now: Instant, time: Duration, rate: u64, bounds: Bounds) {
        match self.trial.take() {
            Some(trial) if !trial.pays(rate) => {
                self.undo(trial, bounds);
                self.rest(now, time);
            }
            _ if now >= self.rests_until => self.attempt(rate, bounds),
            _ => {}
        }
    }

    fn attempt(&mut self, rate: u64, bounds: Bounds) {
        let direction = self.next;
        let changed = match direction {
            Direction::Up => self.double(bounds.may_double(self.size)),
            Direction::Down => self.halve(self.size / 2 >= bounds.free),
        };
        if changed {
            self.trial = Some(Trial { direction, rate });
        } else {
            self.next = direction.other();
        }
    }

    fn undo(&mut self, trial: Trial, bounds: Bounds) {
        match trial.direction {
            Direction::Up => self.halve(true),
            Direction::Down => self.double(bounds.may_double_again(self.size)),
        };
    }

    /// The last trial has not paid.
    fn rest(&mut self, now: Instant, trial: Duration) {
        self.rests_until = now + REST.max(trial.saturating_mul(RESTS));
        self.next = self.next.other();
    }

    fn double(&mut self, may: bool) -> bool {
        self.size = if may { self.size.saturating_mul(2) } else { self.size };
        may
    }

    fn halve(&mut self, may: bool) -> bool {
        self.size = if may { self.size / 2 } else { self.size };
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const FREE: u64 = MIB;
    const RTT: Duration = Duration::from_millis(1);

    /// A reader that takes what comes.
    struct Reader {
        window: Window,
        now: Instant,
        taken: u64,
        bounds: Bounds,
    }

    impl Reader {
        fn new() -> Self {
            let bounds = Bounds { free: FREE, max: 16 * MIB, left: u64::MAX };
            Self { window: Window::new(32 << 10), now: Instant::EPOCH, taken: 0, bounds }
        }

        /// Adapts for so long; `half` returns how long it takes to use half of a window up, and
        /// whether that is less than two round trips. The sizes that the window has meanwhile.
        fn play(
            &mut self,
            time: Duration,
            half: impl Fn(u64) -> (Duration, bool),
        ) -> std::vec::Vec<u64> {
            let (mut sizes, end) = (std::vec::Vec::new(), self.now + time);
            while self.now < end {
                let size = self.window.size();
                let (time, hurried) = half(size);
                self.now = self.now + time;
                self.taken += size / 2;
                self.window.adapt(self.now, hurried, self.taken, self.bounds);
                sizes.push(self.window.size());
            }
            sizes
        }
    }

    /// A window of any size takes a round trip.
    fn a_long_way(_: u64) -> (Duration, bool) {
        (RTT / 2, true)
    }

    /// A gigabyte a second, and a queue, so that a round trip takes as long as a window.
    fn a_queue(size: u64) -> (Duration, bool) {
        (Duration::from_nanos(size / 2), true)
    }

    #[test]
    fn it_grows_as_long_as_a_long_way_is_not_full() {
        let sizes = Reader::new().play(Duration::from_secs(1), a_long_way);
        assert_eq!(sizes.last(), Some(&(16 * MIB)));
    }

    #[test]
    fn it_does_not_lengthen_a_queue() {
        let sizes = Reader::new().play(Duration::from_secs(10), a_queue);
        let (long, all) = (sizes.iter().filter(|size| **size > FREE).count(), sizes.len());
        assert!(sizes.iter().all(|size| *size <= 2 * FREE));
        assert!(long < all / 20, "{long} of {all} grants are trials");
    }

    #[test]
    fn it_shrinks_where_a_queue_has_formed_and_grows_again_where_there_is_none() {
        let mut reader = Reader::new();
        reader.play(Duration::from_secs(1), a_long_way);
        let sizes = reader.play(Duration::from_secs(10), a_queue);
        assert!(sizes.last().is_some_and(|size| *size <= 2 * FREE));
        let sizes = reader.play(Duration::from_secs(10), a_long_way);
        assert!(sizes.last().is_some_and(|size| *size >= 8 * MIB));
    }

    #[test]
    fn a_size_at_which_nobody_waits_for_it_is_given_up() {
        // A hundred megabit a second, over 30 ms: a mebibyte is used up within four of them.
        let half = |size| {
            let time = Duration::from_nanos(size / 2 * 80);
            (time, time < Duration::from_millis(60))
        };
        let sizes = Reader::new().play(Duration::from_secs(60), half);
        let (long, all) = (sizes.iter().filter(|size| **size > FREE).count(), sizes.len());
        assert!(sizes.iter().all(|size| *size <= 2 * FREE));
        assert!(long < all / 10, "{long} of {all} grants are trials");
    }

    #[test]
    fn a_pause_does_not_make_a_smaller_size_stay() {
        let mut reader = Reader::new();
        reader.play(Duration::from_secs(1), a_long_way);
        assert_eq!(reader.window.size(), 16 * MIB);
        let mut sizes = std::vec::Vec::new();
        for _ in 0..10 {
            // Just now a smaller one is tried.
            while reader.window.size() == 16 * MIB {
                reader.play(RTT, a_long_way);
            }
            sizes.push(reader.window.size());
            reader.play(RTT, |_| (RTT * 3, false));
            assert_eq!(reader.window.size(), 16 * MIB);
        }
        assert!(sizes.iter().all(|size| *size == 8 * MIB), "{sizes:?}");
    }

    #[test]
    fn what_is_given_up_for_a_trial_can_be_had_again() {
        let mut reader = Reader::new();
        reader.play(Duration::from_secs(1), a_long_way);
        // The budget is as good as used up.
        reader.bounds.left = 8 * MIB;
        let sizes = reader.play(Duration::from_secs(20), a_long_way);
        assert!(sizes.contains(&(8 * MIB)), "a smaller one is never tried");
        assert!(sizes.iter().filter(|size| **size < 16 * MIB).count() < sizes.len() / 10);
    }

    #[test]
    fn no_trial_goes_below_what_is_free() {
        let mut reader = Reader { window: Window::new(48 << 10), ..Reader::new() };
        reader.play(Duration::from_secs(1), a_queue);
        let sizes = reader.play(Duration::from_secs(10), a_queue);
        assert!(sizes.iter().all(|size| *size >= FREE), "{sizes:?}");
    }

    #[test]
    fn a_leisurely_reader_needs_no_more() {
        let sizes = Reader::new().play(Duration::from_secs(9), |_| (RTT * 2, false));
        assert!(sizes.iter().all(|size| *size == 32 << 10));
    }
}
