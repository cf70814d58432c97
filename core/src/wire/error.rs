//! Violations of the message format.

use core::fmt;

use super::InvalidVarint;
use crate::ConnectionId;

/// How a message that the remote sent breaks the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The whole message is longer than this end takes (P2.3, P5.15).
    #[error("the remote sent a message of {length} bytes, the limit is {limit}")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// [`DecodeLimits::message`](super::DecodeLimits::message).
        limit: usize,
    },
    /// A number is malformed (P1.1).
    #[error("the remote sent a malformed {field}")]
    Varint {
        /// Which number.
        field: Field,
        /// How it is malformed.
        source: InvalidVarint,
    },
    /// A number that counts something is below zero (P1.3).
    #[error("the remote sent the negative {field} {value}")]
    Negative {
        /// Which number.
        field: Field,
        /// Its value.
        value: i64,
    },
    /// A Connect target is too long (P4.3, P5.14). It is not cut: a part of a target is another target.
    #[error("the target has {length} bytes, the limit is {limit}")]
    TargetTooLong {
        /// The connection that was to be opened.
        connection: ConnectionId,
        /// Its bytes.
        length: usize,
        /// [`DecodeLimits::target`](super::DecodeLimits::target).
        limit: usize,
    },
    /// A Connect target is not UTF-8 (P4.3, P5.14).
    #[error("the target is not UTF-8 after byte {valid}")]
    TargetNotUtf8 {
        /// The connection that was to be opened.
        connection: ConnectionId,
        /// How many bytes are.
        valid: usize,
    },
    /// A client route is not UTF-8 (P1.4).
    #[error("the remote sent a client route that is not UTF-8 after byte {valid}")]
    RouteNotUtf8 {
        /// How many bytes are.
        valid: usize,
    },
    /// A client route has no `/` between client key and session key (P6.1).
    #[error("the remote sent a client route without a session key")]
    RouteWithoutSessionKey,
    /// The session key of a client route is not a decimal of 64 bits (P6.1).
    #[error("the remote sent a client route whose session key is not a number")]
    RouteSessionKey,
    /// The client key of a client route is too long (P1.4). It is not cut: a part is another client.
    #[error("the remote sent a client key of {length} bytes, the limit is {limit}")]
    ClientKeyTooLong {
        /// Its bytes.
        length: usize,
        /// [`DecodeLimits::client_key`](super::DecodeLimits::client_key).
        limit: usize,
    },
    /// The payload of SyncConnections is not a sequence of ids of eight bytes (P4.12).
    #[error("the remote sent {length} bytes of connection ids, not a multiple of 8")]
    IdsNotWhole {
        /// Its bytes.
        length: usize,
    },
    /// A reconciliation message lists too many ids (P4.12, P5.15).
    #[error("the remote sent more connection ids than the limit of {limit}")]
    TooManyIds {
        /// [`DecodeLimits::ids`](super::DecodeLimits::ids).
        limit: usize,
    },
    /// The ids of a Sync do not ascend (P5.11).
    #[error("the remote sent connection id {id} after {previous}, ids must ascend")]
    IdsNotAscending {
        /// The id that came first.
        previous: i64,
        /// The one after it.
        id: i64,
    },
    /// A setting is out of its range (P5.1).
    #[error("the remote set the {field} to {value}, it must be {least} to {most}")]
    Setting {
        /// Which setting.
        field: Field,
        /// Its value.
        value: u64,
        /// The smallest value that makes sense.
        least: u64,
        /// The largest value that makes sense.
        most: u64,
    },
    /// A Credit grants nothing (P5.6).
    #[error("the remote sent a credit of no bytes")]
    ZeroCredit,
    /// The payload of a Ping or Pong does not have eight bytes (P5.9).
    #[error("the remote sent a ping or pong of {length} bytes instead of 8")]
    PingLength {
        /// Its bytes.
        length: usize,
    },
    /// A message of the extension has bytes after its last field (P5.18).
    #[error("the remote sent {length} bytes after the end of a message of type {kind}")]
    Trailing {
        /// The number of the type.
        kind: i64,
        /// How many bytes.
        length: usize,
    },
}

impl InvalidMessage {
    /// The connection that the message would have opened, if only its target is wrong: then the
    /// dial can be refused, and the rest of the session be left alone. An end that forwards what
    /// its users ask for may send such a target.
    #[must_use]
    pub const fn bad_target(&self) -> Option<ConnectionId> {
        match self {
            Self::TargetTooLong { connection, .. } | Self::TargetNotUtf8 { connection, .. } => {
                Some(*connection)
            }
            _ => None,
        }
    }
}

/// A number in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The id of the message itself.
    MessageId,
    /// The connection that a message is about.
    ConnectionId,
    /// The type of the message.
    Kind,
    /// The deadline of Data and Connect.
    Deadline,
    /// [`Settings::initial_window`](super::Settings::initial_window).
    InitialWindow,
    /// [`Settings::max_data`](super::Settings::max_data).
    MaxData,
    /// [`Settings::max_connections`](super::Settings::max_connections).
    MaxConnections,
    /// [`Settings::silence`](super::Settings::silence).
    Silence,
    /// The code of Reset and GoAway.
    Code,
    /// The bytes that a Credit grants.
    Credit,
    /// The last connection that a GoAway accepts.
    LastId,
    /// The newest connection that a Sync has seen.
    NewestId,
    /// One of the connections that a Sync lists.
    ListedId,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MessageId => "message id",
            Self::ConnectionId => "connection id",
            Self::Kind => "message type",
            Self::Deadline => "deadline",
            Self::InitialWindow => "initial window",
            Self::MaxData => "largest Data",
            Self::MaxConnections => "largest number of connections",
            Self::Silence => "longest silence",
            Self::Code => "code",
            Self::Credit => "credit",
            Self::LastId => "last connection id",
            Self::NewestId => "newest connection id",
            Self::ListedId => "listed connection id",
        })
    }
}
