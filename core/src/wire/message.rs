//! Messages: their types and what they carry.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{GoAwayCode, ResetCode, Settings};
use crate::ConnectionId;

/// The text of an [`Body::Error`] that ends a connection gracefully.
pub const EOF: &str = "EOF";

/// One message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A number that receivers only log. Ours is 0, the cheapest one.
    pub message_id: i64,
    /// The connection that the message is about; [`ConnectionId::SESSION`] for the session itself.
    pub connection: ConnectionId,
    /// The type and what it carries.
    pub body: Body,
}

impl Message {
    /// A message of ours, whose message id is 0.
    #[must_use]
    pub const fn new(connection: ConnectionId, body: Body) -> Self {
        Self { message_id: 0, connection, body }
    }
}

/// What a message says, by type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Application bytes of one connection.
    Data {
        /// Milliseconds that nobody reads any more; Go sends 15,000, we send 0.
        deadline: i64,
        /// The bytes: a view of the input when decoded, sent as they are when encoded.
        payload: Bytes,
    },
    /// Dial this target on your side.
    Connect {
        /// As in [`Body::Data`].
        deadline: i64,
        /// `proto/address`, such as `tcp/127.0.0.1:6443`.
        target: String,
    },
    /// The connection is over in both directions; [`EOF`] for a graceful end.
    Error {
        /// For people, except [`EOF`]. The Go end may have cut it anywhere.
        text: String,
    },
    /// Peering: this client is reachable through me.
    AddClient(ClientRoute),
    /// Peering: this client is no longer reachable through me.
    RemoveClient(ClientRoute),
    /// Stop sending Data for this connection.
    Pause,
    /// Go on sending Data for this connection.
    Resume,
    /// Every connection that the connector still has.
    SyncConnections {
        /// In ascending order when encoded, as they came when decoded.
        ids: Vec<ConnectionId>,
    },
    /// The first message of either end of an extended session.
    Settings(Settings),
    /// The dial succeeded.
    Opened,
    /// No more Data from me; the other direction goes on.
    Finish,
    /// The connection is over in both directions, now.
    Reset {
        /// Why, for programs.
        code: ResetCode,
        /// Why, for people.
        text: String,
    },
    /// You may send so many more Data bytes on this connection.
    Credit {
        /// How many; never 0.
        bytes: u64,
    },
    /// I accept no connection after `last`; the others run to their end.
    GoAway {
        /// The last id that I accepted.
        last: ConnectionId,
        /// Why, for programs.
        code: GoAwayCode,
        /// Why, for people.
        text: String,
    },
    /// Answer with a [`Body::Pong`] of the same bytes.
    Ping {
        /// Chosen by the sender.
        opaque: [u8; 8],
    },
    /// The answer to a [`Body::Ping`].
    Pong {
        /// Those of the Ping.
        opaque: [u8; 8],
    },
    /// Reconciliation without a race: what is at most `newest` and not listed is gone here.
    Sync {
        /// The newest id that I saw from you.
        newest: ConnectionId,
        /// Those that I still have, ascending and each once.
        ids: Vec<ConnectionId>,
    },
    /// A type that this end does not know, and therefore ignores; its payload is dropped.
    Unknown {
        /// The number of the type.
        kind: i64,
    },
}

impl Body {
    pub(super) const fn kind(&self) -> i64 {
        match self {
            Self::Data { .. } => kind::DATA,
            Self::Connect { .. } => kind::CONNECT,
            Self::Error { .. } => kind::ERROR,
            Self::AddClient(_) => kind::ADD_CLIENT,
            Self::RemoveClient(_) => kind::REMOVE_CLIENT,
            Self::Pause => kind::PAUSE,
            Self::Resume => kind::RESUME,
            Self::SyncConnections { .. } => kind::SYNC_CONNECTIONS,
            Self::Settings(_) => kind::SETTINGS,
            Self::Opened => kind::OPENED,
            Self::Finish => kind::FINISH,
            Self::Reset { .. } => kind::RESET,
            Self::Credit { .. } => kind::CREDIT,
            Self::GoAway { .. } => kind::GO_AWAY,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::Sync { .. } => kind::SYNC,
            Self::Unknown { kind } => *kind,
        }
    }
}

/// A client that is reachable through a peer server, as peers announce it to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientRoute {
    /// The client. It may contain any character.
    pub client_key: String,
    /// The client's session at the peer: tells an old announcement from a new one.
    pub session_key: i64,
}

/// Which message types an end understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Those of remotedialer. The extension's types are unknown ones.
    Base,
    /// Those of remotedialer and ours.
    Extended,
}

/// The numbers of the message types.
pub(super) mod kind {
    pub(in crate::wire) const DATA: i64 = 1;
    pub(in crate::wire) const CONNECT: i64 = 2;
    pub(in crate::wire) const ERROR: i64 = 3;
    pub(in crate::wire) const ADD_CLIENT: i64 = 4;
    pub(in crate::wire) const REMOVE_CLIENT: i64 = 5;
    pub(in crate::wire) const PAUSE: i64 = 6;
    pub(in crate::wire) const RESUME: i64 = 7;
    pub(in crate::wire) const SYNC_CONNECTIONS: i64 = 8;

    // The extension starts at 32, so that it never meets a future type of the base protocol.
    pub(in crate::wire) const SETTINGS: i64 = 32;
    pub(in crate::wire) const OPENED: i64 = 33;
    pub(in crate::wire) const FINISH: i64 = 34;
    pub(in crate::wire) const RESET: i64 = 35;
    pub(in crate::wire) const CREDIT: i64 = 36;
    pub(in crate::wire) const GO_AWAY: i64 = 37;
    pub(in crate::wire) const PING: i64 = 38;
    pub(in crate::wire) const PONG: i64 = 39;
    pub(in crate::wire) const SYNC: i64 = 40;
}
