//! The ends of a session, and the ids of connections.

use core::fmt;

/// The end of a session: who sent the upgrade, who answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that connected to the other one: an agent, or a peer server.
    Connector,
    /// The end that answered: a server.
    Acceptor,
}

impl Role {
    /// The remote's role.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Connector => Self::Acceptor,
            Self::Acceptor => Self::Connector,
        }
    }
}

/// The id of a connection inside one session, as it stands on the wire.
///
/// A session allocates its own ids and learns the remote's from the wire; nobody else makes
/// one. Id 0 belongs to the session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(i64);

impl ConnectionId {
    /// The id that stands in messages about the session itself.
    pub const SESSION: Self = Self(0);

    pub(crate) const fn from_wire(id: i64) -> Self {
        Self(id)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
