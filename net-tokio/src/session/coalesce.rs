//! Coalescing: small messages of several tasks become one system call.

/// Sends that are not preceded by a yield, at most, after yielding has brought nothing several times.
const MOST_SKIPPED: u32 = 63;

/// Whether to yield once before flushing. tokio's LIFO slot polls the driver right after the task
/// that woke it; without yielding, each small message costs a `write`.
///
/// A yield costs as much as the wake-up of a thread. It is done while it pays, and tried from time to
/// time otherwise.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    /// The bytes and messages that were queued before the yield.
    before: Option<u64>,
    /// Sends without a yield that follow a yield which brought nothing, and how many are left.
    skips: u32,
    left: u32,
}

impl Coalescer {
    /// Whether to yield before `queued` is sent. The next call after a yield answers no.
    pub(super) fn yields(&mut self, queued: u64) -> bool {
        if let Some(before) = self.before.take() {
            let paid = queued > before;
            self.skips = if paid { 0 } else { (2 * self.skips + 1).min(MOST_SKIPPED) };
            self.left = self.skips;
            return false;
        }
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.before = Some(queued);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it yields before each of so many sends, when a yield brings `more`.
    fn sends(coalescer: &mut Coalescer, sends: usize, more: u64) -> Vec<bool> {
        let mut yielded = Vec::new();
        for _ in 0..sends {
            let yields = coalescer.yields(1);
            if yields {
                assert!(!coalescer.yields(1 + more), "it yields for ever");
            }
            yielded.push(yields);
        }
        yielded
    }

    #[test]
    fn yields_continue_while_they_pay() {
        assert_eq!(sends(&mut Coalescer::default(), 5, 1), [true; 5]);
    }

    #[test]
    fn yields_become_rare_while_they_do_not_pay() {
        let mut coalescer = Coalescer::default();
        let yielded = sends(&mut coalescer, 12, 0);
        let (yes, no) = (true, false);
        assert_eq!(yielded, [yes, no, yes, no, no, no, yes, no, no, no, no, no]);
        sends(&mut coalescer, 200, 0);
        let yielded = sends(&mut coalescer, 640, 0);
        assert_eq!(yielded.iter().filter(|yields| **yields).count(), 10);
        let again = sends(&mut coalescer, 65, 1);
        assert!(again.iter().skip(1).any(|yields| *yields));
        assert_eq!(sends(&mut coalescer, 5, 1), [true; 5]);
    }
}
