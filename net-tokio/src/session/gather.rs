/// Sends that go out at once, at most, after gathering has shown nothing several times.
const MOST_SKIPPED: u32 = 63;

/// Whether to let others run before something is sent, because they may have more of it: a runtime
/// polls a task right after the one that wakes it, and each would make a system call of its own
/// message.
///
/// It costs as much as the wake-up of a thread, so it is done while it pays, and otherwise tried
/// from time to time.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// What was queued when the others got their turn.
    before: Option<u64>,
    /// Sends that go out at once, after a turn that brought nothing, and how many of them are left.
    skips: u32,
    left: u32,
}

impl Gather {
    /// With so much to send, whether the others are to go first. They have had their turn when it is
    /// asked again.
    pub(super) fn waits(&mut self, queued: u64) -> bool {
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

    /// Whether it waits before each of so many sends, when a turn of the others brings `more`.
    fn sends(gather: &mut Gather, sends: usize, more: u64) -> Vec<bool> {
        let mut waited = Vec::new();
        for _ in 0..sends {
            let waits = gather.waits(1);
            if waits {
                assert!(!gather.waits(1 + more), "it waits for ever");
            }
            waited.push(waits);
        }
        waited
    }

    #[test]
    fn it_goes_on_for_as_long_as_it_pays() {
        assert_eq!(sends(&mut Gather::default(), 5, 1), [true; 5]);
    }

    #[test]
    fn it_is_tried_more_and_more_seldom_while_it_does_not_pay() {
        let mut gather = Gather::default();
        let waited = sends(&mut gather, 12, 0);
        let (yes, no) = (true, false);
        assert_eq!(waited, [yes, no, yes, no, no, no, yes, no, no, no, no, no]);
        sends(&mut gather, 200, 0);
        let waited = sends(&mut gather, 640, 0);
        assert_eq!(waited.iter().filter(|waits| **waits).count(), 10);
        let again = sends(&mut gather, 65, 1);
        assert!(again.iter().skip(1).any(|waits| *waits));
        assert_eq!(sends(&mut gather, 5, 1), [true; 5]);
    }
}
