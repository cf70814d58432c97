//! Which ids the other end has used.

/// How many of the newest ids are told apart.
///
/// A remotedialer end counts its ids upward, but its dials may overtake each other on their way
/// out. They do so by no more than are in flight at once.
pub(super) const SPAN: u64 = 64 * (WORDS as u64 - 1);

const WORDS: usize = 65;

/// The ids used, of the newest ones; all before those count as used.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Seen {
    newest: u64,
    /// A bit for each id, in a ring.
    bits: [u64; WORDS],
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self { newest: 0, bits: [0; WORDS] }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        let known = || self.bits.get(place(id)).is_some_and(|word| word & bit(id) != 0);
        self.newest.checked_sub(id).is_some_and(|behind| behind >= SPAN || known())
    }

    pub(super) fn insert(&mut self, id: u64) {
        if id > self.newest {
            // The words that the ring comes to hold now are those of ids long gone.
            let (from, to) = (self.newest / 64, id / 64);
            let stale = (to - from).min(WORDS as u64);
            for word in to - stale..to {
                self.change(64 * (word + 1), |bits| *bits = 0);
            }
            self.newest = id;
        }
        if self.newest - id < SPAN {
            self.change(id, |bits| *bits |= bit(id));
        }
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut u64)) {
        self.bits.get_mut(place(id)).map(change);
    }
}

/// The word in the ring that holds an id's bit.
fn place(id: u64) -> usize {
    usize::try_from(id / 64 % WORDS as u64).unwrap_or(0)
}

const fn bit(id: u64) -> u64 {
    1 << (id % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_any_order_are_known_and_no_others() {
        let mut seen = Seen::new();
        for id in [3, 1, 2, 7, 4000, 100, 4001, 64, 63, 65] {
            assert!(!seen.contains(id), "{id}");
            seen.insert(id);
            assert!(seen.contains(id), "{id}");
        }
        assert!([4, 66, 99, 3999, 4002].into_iter().all(|id| !seen.contains(id)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn what_is_long_ago_counts_as_used() {
        let mut seen = Seen::new();
        seen.insert(10_000);
        assert!(seen.contains(10_000 - SPAN) && seen.contains(1));
        assert!(!seen.contains(10_001 - SPAN));
        // Again and again around the ring.
        for id in (10_007..1_000_000).step_by(7) {
            assert!(!seen.contains(id));
            seen.insert(id);
            assert!(seen.contains(id) && seen.contains(id - 7) && !seen.contains(id - 6));
        }
    }

    #[test]
    fn an_id_of_long_ago_takes_no_other_ones_place() {
        let mut seen = Seen::new();
        seen.insert(10_000);
        for id in 1..=10_000 - SPAN {
            seen.insert(id);
        }
        assert!((10_001 - SPAN..10_000).all(|id| !seen.contains(id)));
    }

    #[test]
    fn the_ends_of_the_numbers_are_survived() {
        let mut seen = Seen::new();
        seen.insert(1);
        seen.insert(u64::MAX);
        assert!(seen.contains(u64::MAX) && seen.contains(1) && !seen.contains(u64::MAX - 1));
        seen.insert(u64::MAX - 1);
        seen.insert(5);
        assert!(seen.contains(u64::MAX - 1));
    }
}
