//! Messages: their types, what they carry, Settings and codes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use bytes::Bytes;

use super::error::{Field, InvalidMessage};
use crate::ConnectionId;

/// The text of an [`Body::Error`] that ends a connection gracefully.
pub const EOF: &str = "EOF";

/// One message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A number that receivers only log. This end sends 0, the cheapest one.
    pub message_id: i64,
    /// The connection that the message is about; [`ConnectionId::SESSION`] for the session itself.
    pub connection: ConnectionId,
    /// The type and what it carries.
    pub body: Body,
}

impl Message {
    /// A message of this end, whose message id is 0.
    #[must_use]
    pub const fn new(connection: ConnectionId, body: Body) -> Self {
        Self { message_id: 0, connection, body }
    }
}

/// The content of a message, by type.
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
    /// Continue sending Data for this connection.
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
    /// No more Data from the sender; the other direction stays open.
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
    /// Reconciliation without a race: an id that is at most `newest` and not listed is gone here.
    Sync {
        /// The newest id that I saw from you.
        newest: ConnectionId,
        /// The ids that the sender has, ascending and each once.
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
    /// The client's session at the peer: distinguishes an old announcement from a new one.
    pub session_key: i64,
}

/// Which message types an end understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Those of remotedialer. The extension's types are unknown ones.
    Base,
    /// The types of remotedialer and the extension's.
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

/// The limits of an end of an extended session. Each end sends its own, first.
///
/// A later version may append fields; an end skips unknown ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How many Data bytes you may send on a new connection before my first Credit.
    pub initial_window: u64,
    /// The largest Data payload that I accept.
    pub max_data: u64,
    /// How many connections of yours I hold at a time.
    pub max_connections: u64,
    /// Milliseconds without a sign of life after which the sender ends the session, so that the
    /// receiver pings in time; 0, and not sent, where they are unknown.
    pub silence: u64,
}

impl Settings {
    /// The values of [`Settings::initial_window`] that make sense: a window below one kilobyte
    /// costs more in Credit than it carries, one above a gigabyte bounds nothing.
    pub const INITIAL_WINDOW: RangeInclusive<u64> = 1024..=1024 * 1024 * 1024;
    /// The values of [`Settings::max_data`] that make sense: above a megabyte, one message holds
    /// up all the other connections.
    pub const MAX_DATA: RangeInclusive<u64> = 1024..=1024 * 1024;
    /// The values of [`Settings::max_connections`] that make sense: the rows of more connections
    /// would take gigabytes.
    pub const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=1 << 24;

    /// The values of [`Settings::silence`] that make sense: above seven weeks, nobody waits.
    pub const SILENCE: RangeInclusive<u64> = 0..=1 << 32;

    /// Whether every value is in its range: the check that the remote makes.
    ///
    /// # Errors
    ///
    /// [`InvalidMessage::Setting`] names the first one that is not.
    pub fn check(&self) -> Result<(), InvalidMessage> {
        check(Field::InitialWindow, self.initial_window, &Self::INITIAL_WINDOW)?;
        check(Field::MaxData, self.max_data, &Self::MAX_DATA)?;
        check(Field::MaxConnections, self.max_connections, &Self::MAX_CONNECTIONS)?;
        check(Field::Silence, self.silence, &Self::SILENCE)
    }
}

fn check(field: Field, value: u64, range: &RangeInclusive<u64>) -> Result<(), InvalidMessage> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(InvalidMessage::Setting { field, value, least: *range.start(), most: *range.end() })
}

/// Why a connection was reset.
///
/// Unknown codes are kept: a newer end may have reasons that this one has not heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResetCode(u64);

impl ResetCode {
    /// The application dropped or reset the connection.
    pub const CANCELLED: Self = Self(0);
    /// The target could not be reached.
    pub const DIAL_FAILED: Self = Self(1);
    /// The acceptor's policy does not allow the target.
    pub const DIAL_REFUSED: Self = Self(2);
    /// The target did not answer in time.
    pub const DIAL_TIMEOUT: Self = Self(3);
    /// A limit of the acceptor is reached.
    pub const LIMIT: Self = Self(4);
    /// The acceptor takes no new connections.
    pub const GOING_AWAY: Self = Self(5);
    /// Nobody reads what you send.
    pub const STOPPED: Self = Self(6);
    /// The connection made no progress for too long.
    pub const STALLED: Self = Self(7);
    /// Reconciliation did not list the connection.
    pub const NOT_LISTED: Self = Self(8);
    /// More Data arrived than the receiver holds.
    pub const OVERRUN: Self = Self(9);
    /// A peer server has no session of the client that was to be dialled through it. Another one
    /// may have; nobody was dialled.
    pub const NO_SUCH_CLIENT: Self = Self(10);
    /// The user's or the target's machine no longer answers: it was switched off, or its network is
    /// gone.
    pub const VANISHED: Self = Self(11);

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CANCELLED => "cancelled",
            Self::DIAL_FAILED => "dial failed",
            Self::DIAL_REFUSED => "dial refused",
            Self::DIAL_TIMEOUT => "dial timed out",
            Self::LIMIT => "limit reached",
            Self::GOING_AWAY => "going away",
            Self::STOPPED => "stopped reading",
            Self::STALLED => "stalled",
            Self::NOT_LISTED => "not listed",
            Self::OVERRUN => "overrun",
            Self::NO_SUCH_CLIENT => "no such client",
            Self::VANISHED => "vanished",
            Self(_) => return None,
        })
    }
}

/// Why a session takes no new connections.
///
/// Unknown codes are kept, as those of [`ResetCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoAwayCode(u64);

impl GoAwayCode {
    /// The operator drains this end.
    pub const DRAIN: Self = Self(0);
    /// A newer session of the same client took over.
    pub const REPLACED: Self = Self(1);
    /// The remote broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(2);
    /// A limit of the session is passed.
    pub const LIMIT: Self = Self(3);
    /// The remote was silent for too long.
    pub const TIMEOUT: Self = Self(4);
    /// This end stops.
    pub const SHUTDOWN: Self = Self(5);

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DRAIN => "drain",
            Self::REPLACED => "replaced",
            Self::PROTOCOL_ERROR => "protocol error",
            Self::LIMIT => "limit passed",
            Self::TIMEOUT => "timeout",
            Self::SHUTDOWN => "shutdown",
            Self(_) => return None,
        })
    }
}

impl From<u64> for ResetCode {
    fn from(code: u64) -> Self {
        Self(code)
    }
}

impl From<u64> for GoAwayCode {
    fn from(code: u64) -> Self {
        Self(code)
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_code(f, self.name(), self.0)
    }
}

impl fmt::Display for GoAwayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_code(f, self.name(), self.0)
    }
}

fn write_code(f: &mut fmt::Formatter<'_>, name: Option<&str>, code: u64) -> fmt::Result {
    match name {
        Some(name) => f.write_str(name),
        None => write!(f, "unknown code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_are_those_of_the_protocol() {
        assert_eq!(Settings::INITIAL_WINDOW, 1024..=1_073_741_824);
        assert_eq!(Settings::MAX_DATA, 1024..=1_048_576);
        assert_eq!(Settings::MAX_CONNECTIONS, 1..=16_777_216);
        assert_eq!(Settings::SILENCE, 0..=4_294_967_296);
    }
}
