//! The two ends of a session, and a pair of values indexed by them.

use std::fmt;

use watertight_core::Role;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// The connector.
    Agent,
    /// The acceptor.
    Server,
}

impl Side {
    /// Both, in the order in which they act where the order does not matter.
    pub(super) const BOTH: [Self; 2] = [Self::Agent, Self::Server];

    /// The end across.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Agent => Self::Server,
            Self::Server => Self::Agent,
        }
    }

    pub(super) const fn role(self) -> Role {
        match self {
            Self::Agent => Role::Connector,
            Self::Server => Role::Acceptor,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Server => "server",
        })
    }
}

/// Something that there is at each end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Both<T> {
    agent: T,
    server: T,
}

impl<T> Both<T> {
    pub(super) fn new(of: impl Fn(Side) -> T) -> Self {
        Self { agent: of(Side::Agent), server: of(Side::Server) }
    }

    pub(super) const fn of(&self, side: Side) -> &T {
        match side {
            Side::Agent => &self.agent,
            Side::Server => &self.server,
        }
    }

    pub(super) const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Agent => &mut self.agent,
            Side::Server => &mut self.server,
        }
    }
}
