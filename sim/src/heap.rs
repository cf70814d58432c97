//! Heap usage of a run, counted by thread.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Counts what the current thread takes from the heap and gives back, piece by piece.
///
/// A world runs on one thread, so its heap is the sum of the pieces of its run. The heap of the run's own
/// bookkeeping counts, too: it is small and constant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    held: i64,
    most: i64,
}

impl Heap {
    /// Runs a piece and counts what it takes and gives back.
    pub fn count<T>(&mut self, piece: impl FnOnce() -> T) -> T {
        let mut result = None;
        // A panic would leave its counter open, and there are not many of them: it goes around.
        let info = allocation_counter::measure(|| {
            result = Some(catch_unwind(AssertUnwindSafe(piece)));
        });
        self.most = self.most.max(self.held + i64::try_from(info.bytes_max).unwrap_or(i64::MAX));
        self.held += info.bytes_current;
        match result {
            Some(Ok(result)) => result,
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("the piece has run"),
        }
    }

    /// Bytes held now. Less than nothing if more was given back than was taken.
    #[must_use]
    pub const fn held(&self) -> i64 {
        self.held
    }

    /// The most that was held at any time.
    #[must_use]
    pub const fn most(&self) -> i64 {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_and_what_was_there_for_a_moment_is_the_most() {
        let mut heap = Heap::default();
        let kept = heap.count(|| {
            drop(vec![0_u8; 10_000]);
            vec![0_u8; 1000]
        });
        assert_eq!(heap.held(), 1000);
        assert_eq!(heap.most(), 10_000);
        heap.count(|| drop(kept));
        assert_eq!(heap.held(), 0);
        assert_eq!(heap.most(), 10_000);
    }

    #[test]
    fn pieces_may_panic_as_often_as_they_like() {
        let mut heap = Heap::default();
        for _ in 0..100 {
            let piece = || heap.count(|| resume_unwind(Box::new("on purpose")));
            assert!(catch_unwind(AssertUnwindSafe(piece)).is_err());
        }
        assert_eq!(heap.count(|| 7), 7);
    }
}
