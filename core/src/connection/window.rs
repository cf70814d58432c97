//! How much the other end may have under way.

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
/// A window that is used up within two round trips may be what holds the other end back, or there
/// may be a queue before whoever is the slowest, which a larger window only makes longer, and
/// everybody else's messages stand in it. That shows in the rate alone: beyond a size that is free, the
/// window keeps a size only if it pays an eighth. From time to time it tries a smaller or a larger one.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub(super) struct Window {
    size: u64,
    /// Since when, and since which byte, the rate under this size is measured.
    since: Option<(Instant, u64)>,
    trial: Option<Trial>,
    /// What is tried next.
    next: Direction,
    rests_until: Instant,
}

/// A size that has to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
struct Trial {
    direction: Direction,
    /// Bytes a second under the size before.
    rate: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
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
        Self { size, since: None, trial: None, next: Direction::Up, rests_until: Instant::EPOCH }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Half of it is used up, for the first time or since the last grant; `hurried` if that took
    /// less than two round trips. `taken` bytes have been taken since the beginning. Up to `free` it
    /// grows without a trial, and only if `may_grow(more)` lets it take so many more bytes.
    pub(super) fn adapt(
        &mut self,
        now: Instant,
        hurried: bool,
        taken: u64,
        free: u64,
        may_grow: impl FnOnce(u64) -> bool,
    ) {
        if !hurried {
            (self.since, self.trial) = (None, None);
        } else if self.size < free {
            self.double(may_grow);
        } else if let Some((time, rate)) = self.measured(now, taken) {
            self.judge(now, time, rate, free, may_grow);
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

    fn judge(
        &mut self,
        now: Instant,
        time: Duration,
        rate: u64,
        free: u64,
        may_grow: impl FnOnce(u64) -> bool,
    ) {
        match self.trial.take() {
            Some(Trial { direction: Direction::Up, rate: before })
                if rate < before + before / 8 =>
            {
                self.halve();
                self.rest(now, time);
            }
            Some(Trial { direction: Direction::Down, rate: before })
                if rate < before - before / 8 =>
            {
                self.double(may_grow);
                self.rest(now, time);
            }
            _ if now >= self.rests_until => self.attempt(rate, free, may_grow),
            _ => {}
        }
    }

    fn attempt(&mut self, rate: u64, free: u64, may_grow: impl FnOnce(u64) -> bool) {
        let direction = self.next;
        let changed = match direction {
            Direction::Up => self.double(may_grow),
            Direction::Down => self.size > free && self.halve(),
        };
        if changed {
            self.trial = Some(Trial { direction, rate });
        } else {
            self.next = direction.other();
        }
    }

    /// What was tried last has not paid.
    fn rest(&mut self, now: Instant, trial: Duration) {
        self.rests_until = now + REST.max(trial.saturating_mul(RESTS));
        self.next = self.next.other();
    }

    fn double(&mut self, may_grow: impl FnOnce(u64) -> bool) -> bool {
        let grows = may_grow(self.size);
        if grows {
            self.size = self.size.saturating_mul(2);
        }
        grows
    }

    fn halve(&mut self) -> bool {
        self.size /= 2;
        true
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
    }

    impl Reader {
        fn new() -> Self {
            Self { window: Window::new(32 << 10), now: Instant::EPOCH, taken: 0 }
        }

        /// Goes on for so long; `half` says how long it takes to use half of a window up, and
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
                self.window.adapt(self.now, hurried, self.taken, FREE, |more| more <= 8 * MIB);
                sizes.push(self.window.size());
            }
            sizes
        }
    }

    /// A window a round trip, whatever its size.
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
        let sizes = Reader::new().play(Duration::from_secs(60), a_queue);
        let (long, all) = (sizes.iter().filter(|size| **size > FREE).count(), sizes.len());
        assert!(sizes.iter().all(|size| *size <= 2 * FREE));
        assert!(long < all / 20, "{long} of {all} grants are trials");
    }

    #[test]
    fn it_shrinks_where_a_queue_has_formed_and_grows_again_where_there_is_none() {
        let mut reader = Reader::new();
        reader.play(Duration::from_secs(1), a_long_way);
        let sizes = reader.play(Duration::from_secs(60), a_queue);
        assert!(sizes.last().is_some_and(|size| *size <= 2 * FREE));
        let sizes = reader.play(Duration::from_secs(60), a_long_way);
        assert!(sizes.last().is_some_and(|size| *size >= 8 * MIB));
    }

    #[test]
    fn a_leisurely_reader_needs_no_more() {
        let sizes = Reader::new().play(Duration::from_secs(9), |_| (RTT * 2, false));
        assert!(sizes.iter().all(|size| *size == 32 << 10));
    }
}
