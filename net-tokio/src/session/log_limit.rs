use std::time::Duration;

use watertight_core::Instant;

/// How many lines of one kind a session logs in [`WITHIN`]. Enough to see what happens; an end that
/// causes them in a loop must not fill a disk.
const MOST: u32 = 10;

const WITHIN: Duration = Duration::from_secs(60);

/// Keeps what the other end causes from flooding the log.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    since: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether one more line may be logged now; if so, how many were left out before it.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now - since >= WITHIN) {
            self.since = Some(now);
            self.logged = 0;
        }
        if self.logged == MOST {
            self.left_out += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_and_told_later() {
        let mut limit = LogLimit::default();
        let mut now = Instant::EPOCH;
        let mut many = |now| (0..1000).filter_map(|_| limit.pass(now)).collect::<Vec<_>>();
        assert_eq!(many(now), [0; 10]);
        now = now + WITHIN / 2;
        assert!(many(now).is_empty());
        now = now + WITHIN / 2;
        let logged = many(now);
        assert_eq!((logged.len(), logged[0], logged[1]), (10, 1990, 0));
    }
}
