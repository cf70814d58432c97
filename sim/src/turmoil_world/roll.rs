//! The sessions of a server, by what it tells of them.

use std::collections::BTreeMap;
use std::time::Duration;

use watertight::{PeerDirection, SessionKey};

/// Whom a session is with. Of two with the same, the newer one takes over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum With {
    Client(String),
    /// A peer that connected, or was connected to.
    Peer {
        id: String,
        incoming: bool,
    },
}

/// The sessions of a server, by what it tells of them.
#[derive(Debug, Default)]
pub(super) struct Roll {
    up: Vec<Up>,
    begun: BTreeMap<With, u64>,
    ended: u64,
}

/// A session whose end was not told.
#[derive(Debug)]
struct Up {
    session: SessionKey,
    with: With,
    /// Since when a newer one is in its place. It is in no table any more, but runs to its end.
    replaced: Option<Duration>,
}

impl With {
    pub(super) fn peer(id: &str, direction: PeerDirection) -> Self {
        Self::Peer { id: id.to_string(), incoming: direction == PeerDirection::Incoming }
    }
}

impl Roll {
    pub(super) fn began(
        &mut self,
        now: Duration,
        session: SessionKey,
        with: With,
    ) -> Result<(), String> {
        if self.up.iter().any(|up| up.session == session) {
            return Err(format!("session {session} began twice"));
        }
        for older in self.up.iter_mut().filter(|older| older.with == with) {
            older.replaced.get_or_insert(now);
        }
        *self.begun.entry(with.clone()).or_default() += 1;
        self.up.push(Up { session, with, replaced: None });
        Ok(())
    }

    pub(super) fn ended(&mut self, session: SessionKey) -> Result<(), String> {
        self.ended += 1;
        match self.up.iter().position(|up| up.session == session) {
            Some(place) => drop(self.up.swap_remove(place)),
            None => return Err(format!("session {session} ended twice, or never began")),
        }
        Ok(())
    }

    /// How many have begun with this one.
    pub(super) fn begun(&self, with: &With) -> u64 {
        self.begun.get(with).copied().unwrap_or(0)
    }

    /// Ends that were told.
    pub(super) const fn told(&self) -> u64 {
        self.ended
    }

    /// Sessions that are in no table and have not come to their end.
    pub(super) fn replaced(&self) -> u64 {
        self.up.iter().filter(|up| up.replaced.is_some()).count() as u64
    }

    pub(super) fn is_replaced(&self, session: SessionKey) -> bool {
        self.up.iter().any(|up| up.session == session && up.replaced.is_some())
    }

    /// A session that was replaced before this moment and has not come to its end.
    pub(super) fn replaced_before(&self, moment: Duration) -> Option<SessionKey> {
        let late = |up: &&Up| up.replaced.is_some_and(|since| since < moment);
        self.up.iter().find(late).map(|up| up.session)
    }
}

#[cfg(test)]
mod tests {
    use watertight::core::registry::Registry;

    use super::*;

    const NOW: Duration = Duration::from_millis(100);

    fn client() -> With {
        With::Client("agent0".into())
    }

    #[test]
    fn the_end_of_one_that_was_replaced_is_awaited() {
        let mut registry = Registry::new(Default::default());
        let [old, new] = [(); 2].map(|()| registry.insert_agent("agent0").unwrap().session);
        let mut roll = Roll::default();
        roll.began(Duration::ZERO, old, client()).unwrap();
        roll.began(NOW, new, client()).unwrap();
        assert_eq!((roll.replaced(), roll.begun(&client())), (1, 2));
        assert_eq!(roll.replaced_before(NOW), None);
        assert_eq!(roll.replaced_before(NOW * 2), Some(old));
        roll.ended(old).unwrap();
        assert_eq!((roll.replaced(), roll.told()), (0, 1));
        assert_eq!(roll.replaced_before(NOW * 2), None);
    }

    #[test]
    fn what_comes_twice_is_wrong() {
        let session = Registry::new(Default::default()).insert_agent("agent0").unwrap().session;
        let mut roll = Roll::default();
        roll.began(NOW, session, client()).unwrap();
        assert!(roll.began(NOW, session, client()).is_err());
        roll.ended(session).unwrap();
        assert!(roll.ended(session).is_err());
    }
}
