//! Two sessions and a link between them, for tests: what travels ([`Item`]), an end with its
//! application ([`Endpoint`]), and what holds of an end and between two ([`check_between`]).
//!
//! Every bug shows as a panic. A search can clone, compare and hash an endpoint.

mod endpoint;
mod oracle;

use core::fmt;

use bytes::Bytes;

use crate::{Instant, Role, Session, Transmit};

pub use crate::session::LOOK_UPS;
pub use endpoint::{App, Endpoint, Handle, Retired, TARGET};
pub use oracle::check_between;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The connector.
    Agent,
    /// The acceptor.
    Server,
}

impl Side {
    /// Both, in the order in which they act where the order does not matter.
    pub const BOTH: [Self; 2] = [Self::Agent, Self::Server];

    /// The remote's side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Agent => Self::Server,
            Self::Server => Self::Agent,
        }
    }

    /// Its role in a session.
    #[must_use]
    pub const fn role(self) -> Role {
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

/// A value for each end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Both<T> {
    agent: T,
    server: T,
}

impl<T> Both<T> {
    /// The values that a function gives to the sides.
    pub fn new(of: impl Fn(Side) -> T) -> Self {
        Self { agent: of(Side::Agent), server: of(Side::Server) }
    }

    /// The value of a side.
    pub const fn of(&self, side: Side) -> &T {
        match side {
            Side::Agent => &self.agent,
            Side::Server => &self.server,
        }
    }

    /// The value of a side, to change it.
    pub const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Agent => &mut self.agent,
            Side::Server => &mut self.server,
        }
    }
}

/// One message of a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A message of the protocol.
    Message(Bytes),
    /// The transport's own ping.
    Ping(Bytes),
    /// The transport's answer to a ping.
    Pong(Bytes),
    /// The transport ended at the sender.
    End,
}

/// The next item that a transport takes from a session.
pub fn transmit(session: &mut Session, now: Instant) -> Option<Item> {
    Some(match session.poll_transmit(now)? {
        Transmit::Message(message) => Item::Message(message.to_bytes()),
        Transmit::TransportPing(payload) => Item::Ping(payload),
    })
}

/// Hands an item to a session, and returns the answer of its transport.
pub fn receive(session: &mut Session, now: Instant, item: Item) -> Option<Item> {
    match item {
        Item::Message(message) => session.handle_message(now, message),
        Item::Ping(payload) => {
            session.handle_transport_ping(now);
            return Some(Item::Pong(payload));
        }
        Item::Pong(payload) => session.handle_transport_pong(now, &payload),
        Item::End => session.handle_transport_ended(now, "lost"),
    }
    None
}
