//! Who may open which connection id, and which were used.

use super::seen::Seen;
use crate::wire::Dialect;
use crate::{ConnectionId, Role};

/// The ids of a session.
///
/// The connector opens odd numbers and the acceptor even ones, each upward and never twice. In
/// the base dialect ours are negative, because a remotedialer end counts upward from 1 or 2
/// without regard for parity (bug R10); two watertight ends that speak it still keep apart.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Numbers {
    role: Role,
    dialect: Dialect,
    next_own: i64,
    newest_peer: i64,
    /// How many ids the other end has opened since this was taken.
    recent: u64,
    /// The other end's ids by magnitude: whoever it is, they all have one sign.
    seen: Seen,
}

impl Numbers {
    pub(super) const fn new(role: Role, dialect: Dialect) -> Self {
        let next_own = match role {
            Role::Connector => 1,
            Role::Acceptor => 2,
        };
        Self { role, dialect, next_own, newest_peer: 0, recent: 0, seen: Seen::new() }
    }

    /// The next id of ours.
    pub(super) fn allot(&mut self) -> ConnectionId {
        let id = self.next_own;
        // 2^62 dials: at a million a second, in 146,000 years.
        self.next_own = id.saturating_add(2);
        match self.dialect {
            Dialect::Base => ConnectionId::from_wire(-id),
            Dialect::Extended => ConnectionId::from_wire(id),
        }
    }

    /// Whether the id is from our part of the number space.
    pub(super) fn is_own(&self, id: ConnectionId) -> bool {
        let signed = match self.dialect {
            Dialect::Base => id.get() < 0,
            Dialect::Extended => id.get() > 0,
        };
        signed && (id.get() % 2 != 0) == (self.role == Role::Connector)
    }

    /// Whether the other end may open the id, as far as signs and parity tell.
    pub(super) fn is_peers(&self, id: ConnectionId) -> bool {
        match self.dialect {
            Dialect::Base => id != ConnectionId::SESSION && !self.is_own(id),
            Dialect::Extended => id.get() > 0 && !self.is_own(id),
        }
    }

    /// Whether the id can be nobody's any more: a connection with it was there, or one with a
    /// later id. Only in the base dialect may ids of the other end come out of order.
    pub(super) fn was_used(&self, id: ConnectionId) -> bool {
        let magnitude = id.get().unsigned_abs();
        if self.is_own(id) {
            return magnitude < self.next_own.unsigned_abs();
        }
        self.is_peers(id)
            && match self.dialect {
                Dialect::Base => self.seen.contains(magnitude),
                Dialect::Extended => magnitude <= self.newest_peer.unsigned_abs(),
            }
    }

    /// The other end opened this id.
    pub(super) fn saw(&mut self, id: ConnectionId) {
        self.recent = self.recent.saturating_add(1);
        let magnitude = id.get().unsigned_abs();
        if magnitude > self.newest_peer.unsigned_abs() {
            self.newest_peer = id.get();
        }
        if self.dialect == Dialect::Base {
            self.seen.insert(magnitude);
        }
    }

    /// How many ids the other end has opened since this was asked last.
    pub(super) const fn take_recent(&mut self) -> u64 {
        core::mem::replace(&mut self.recent, 0)
    }

    /// Positive ids that the other end may have used without our having seen them: up to `around`
    /// before the newest one, and as many after it.
    pub(super) fn unseen(&self, around: u64) -> impl Iterator<Item = ConnectionId> + '_ {
        let around = i64::try_from(around).unwrap_or(i64::MAX);
        let newest = self.newest_peer.max(0);
        let first = newest.saturating_sub(around).max(1);
        (first..=newest.saturating_add(around))
            .filter(|id| !self.seen.contains(id.unsigned_abs()))
            .map(ConnectionId::from_wire)
    }

    /// The newest id that the other end opened; [`ConnectionId::SESSION`] before the first.
    pub(super) const fn newest_peer(&self) -> ConnectionId {
        ConnectionId::from_wire(self.newest_peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_never_meet() {
        for dialect in [Dialect::Base, Dialect::Extended] {
            let mut connector = Numbers::new(Role::Connector, dialect);
            let mut acceptor = Numbers::new(Role::Acceptor, dialect);
            for _ in 0..100 {
                let (a, b) = (connector.allot(), acceptor.allot());
                assert!(connector.is_own(a) && !acceptor.is_own(a) && acceptor.is_peers(a));
                assert!(acceptor.is_own(b) && !connector.is_own(b) && connector.is_peers(b));
                assert!(connector.was_used(a) && !acceptor.was_used(a));
            }
        }
    }

    #[test]
    fn a_go_end_may_open_any_positive_id() {
        let numbers = Numbers::new(Role::Acceptor, Dialect::Base);
        assert!((1..100).all(|id| numbers.is_peers(ConnectionId::from_wire(id))));
        assert!(!numbers.is_peers(ConnectionId::SESSION));
    }
}
