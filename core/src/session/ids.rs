//! Which end may open which connection id, and which ids were used.

use crate::wire::Dialect;
use crate::{ConnectionId, Role};

/// The ids of a session.
///
/// The connector opens odd numbers and the acceptor even ones, each upward and never twice. In
/// the base dialect this end's are negative, because a remotedialer end counts upward from 1 or 2
/// without regard for parity (bug R10); two watertight ends that speak it still keep apart.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Ids {
    role: Role,
    dialect: Dialect,
    next_own: i64,
    newest_remote: i64,
    /// Ids that the remote has used since this was last taken.
    recent: u64,
    /// The remote's ids by magnitude: they all have one sign.
    window: IdWindow,
}

impl Ids {
    pub(super) const fn new(role: Role, dialect: Dialect) -> Self {
        let next_own = match role {
            Role::Connector => 1,
            Role::Acceptor => 2,
        };
        Self { role, dialect, next_own, newest_remote: 0, recent: 0, window: IdWindow::new() }
    }

    /// The next id of this end.
    pub(super) fn allocate(&mut self) -> ConnectionId {
        let id = self.next_own;
        // 2^62 dials: at a million a second, in 146,000 years.
        self.next_own = id.saturating_add(2);
        let id = match self.dialect {
            Dialect::Base => ConnectionId::from_wire(-id),
            Dialect::Extended => ConnectionId::from_wire(id),
        };
        debug_assert!(self.is_own(id), "{id} is an id of the remote");
        id
    }

    /// Whether the id belongs to this end.
    pub(super) fn is_own(&self, id: ConnectionId) -> bool {
        let signed = match self.dialect {
            Dialect::Base => id.get() < 0,
            Dialect::Extended => id.get() > 0,
        };
        signed && (id.get() % 2 != 0) == (self.role == Role::Connector)
    }

    /// Whether the remote may open the id, by its sign and parity.
    pub(super) fn is_remote(&self, id: ConnectionId) -> bool {
        match self.dialect {
            Dialect::Base => id != ConnectionId::SESSION && !self.is_own(id),
            Dialect::Extended => id.get() > 0 && !self.is_own(id),
        }
    }

    /// Whether the id is used up: a connection with it was opened, or one with a later id. Only in
    /// the base dialect may the remote's ids arrive out of order.
    pub(super) fn was_used(&self, id: ConnectionId) -> bool {
        let magnitude = id.get().unsigned_abs();
        if self.is_own(id) {
            return magnitude < self.next_own.unsigned_abs();
        }
        self.is_remote(id)
            && match self.dialect {
                Dialect::Base => self.window.contains(magnitude),
                Dialect::Extended => magnitude <= self.newest_remote.unsigned_abs(),
            }
    }

    /// The remote opened this id.
    pub(super) fn use_remote(&mut self, id: ConnectionId) {
        debug_assert!(self.is_remote(id) && !self.was_used(id), "{id} is not the remote's to use");
        self.recent = self.recent.saturating_add(1);
        let magnitude = id.get().unsigned_abs();
        if magnitude > self.newest_remote.unsigned_abs() {
            self.newest_remote = id.get();
        }
        if self.dialect == Dialect::Base {
            self.window.insert(magnitude);
        }
    }

    /// How many ids the remote has used since the last call.
    pub(super) const fn take_recent(&mut self) -> u64 {
        core::mem::replace(&mut self.recent, 0)
    }

    /// Positive ids that the remote may have used and no message has shown: up to `around` before
    /// the newest one, and as many after it.
    pub(super) fn unseen(&self, around: u64) -> impl Iterator<Item = ConnectionId> + '_ {
        let around = i64::try_from(around).unwrap_or(i64::MAX);
        let newest = self.newest_remote.max(0);
        let first = newest.saturating_sub(around).max(1);
        (first..=newest.saturating_add(around))
            .filter(|id| !self.window.contains(id.unsigned_abs()))
            .map(ConnectionId::from_wire)
    }

    /// The newest id that the remote opened; [`ConnectionId::SESSION`] before the first.
    pub(super) const fn newest_remote(&self) -> ConnectionId {
        ConnectionId::from_wire(self.newest_remote)
    }
}

/// The span of the window of ids.
///
/// A remotedialer end counts its ids upward, but its dials may overtake each other, by no more than
/// are in flight at once.
pub(super) const SPAN: u64 = 64 * (WORDS as u64 - 1);

const WORDS: usize = 65;

/// A sliding window of used ids (RFC 6479). All ids before the window count as used.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
struct IdWindow {
    newest: u64,
    /// A bit for each id, in a ring.
    bits: [u64; WORDS],
}

impl IdWindow {
    const fn new() -> Self {
        Self { newest: 0, bits: [0; WORDS] }
    }

    fn contains(&self, id: u64) -> bool {
        let known = || self.bits.get(word_of(id)).is_some_and(|word| word & bit(id) != 0);
        self.newest.checked_sub(id).is_some_and(|behind| behind >= SPAN || known())
    }

    fn insert(&mut self, id: u64) {
        if id > self.newest {
            // The words that the ring reuses now are those of ids before the window.
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
        debug_assert!(self.contains(id), "the window lacks {id}");
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut u64)) {
        self.bits.get_mut(word_of(id)).map(change);
    }
}

/// The word in the ring that holds an id's bit.
fn word_of(id: u64) -> usize {
    usize::try_from(id / 64 % WORDS as u64).unwrap_or(0)
}

const fn bit(id: u64) -> u64 {
    1 << (id % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_never_meet() {
        for dialect in [Dialect::Base, Dialect::Extended] {
            let mut connector = Ids::new(Role::Connector, dialect);
            let mut acceptor = Ids::new(Role::Acceptor, dialect);
            for _ in 0..100 {
                let (a, b) = (connector.allocate(), acceptor.allocate());
                assert!(connector.is_own(a) && !acceptor.is_own(a) && acceptor.is_remote(a));
                assert!(acceptor.is_own(b) && !connector.is_own(b) && connector.is_remote(b));
                assert!(connector.was_used(a) && !acceptor.was_used(a));
            }
        }
    }

    #[test]
    fn a_go_end_may_open_any_positive_id() {
        let ids = Ids::new(Role::Acceptor, Dialect::Base);
        assert!((1..100).all(|id| ids.is_remote(ConnectionId::from_wire(id))));
        assert!(!ids.is_remote(ConnectionId::SESSION));
    }

    #[test]
    fn ids_in_any_order_are_known_and_no_others() {
        let mut window = IdWindow::new();
        for id in [3, 1, 2, 7, 4000, 100, 4001, 64, 63, 65] {
            assert!(!window.contains(id), "{id}");
            window.insert(id);
            assert!(window.contains(id), "{id}");
        }
        assert!([4, 66, 99, 3999, 4002].into_iter().all(|id| !window.contains(id)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn what_is_long_ago_counts_as_used() {
        let mut window = IdWindow::new();
        window.insert(10_000);
        assert!(window.contains(10_000 - SPAN) && window.contains(1));
        assert!(!window.contains(10_001 - SPAN));
        // Again and again around the ring.
        for id in (10_007..1_000_000).step_by(7) {
            assert!(!window.contains(id));
            window.insert(id);
            assert!(window.contains(id) && window.contains(id - 7) && !window.contains(id - 6));
        }
    }

    #[test]
    fn an_id_of_long_ago_takes_no_other_ones_place() {
        let mut window = IdWindow::new();
        window.insert(10_000);
        for id in 1..=10_000 - SPAN {
            window.insert(id);
        }
        assert!((10_001 - SPAN..10_000).all(|id| !window.contains(id)));
    }

    #[test]
    fn the_ends_of_the_numbers_are_survived() {
        let mut window = IdWindow::new();
        window.insert(1);
        window.insert(u64::MAX);
        assert!(window.contains(u64::MAX) && window.contains(1) && !window.contains(u64::MAX - 1));
        window.insert(u64::MAX - 1);
        window.insert(5);
        assert!(window.contains(u64::MAX - 1));
    }
}
