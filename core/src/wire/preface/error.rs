use core::fmt;

use crate::wire::InvalidVarint;

/// How a preface that the other end sent breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPreface {
    /// The other end does not speak this protocol.
    #[error("the peer does not speak watertight: byte {position} of its preface is wrong")]
    Magic {
        /// Where its first wrong byte stands.
        position: usize,
    },
    /// A number or a length is malformed.
    #[error("the peer sent a malformed {field} in its preface")]
    Varint {
        /// Which one.
        field: PrefaceField,
        /// How it is malformed.
        source: InvalidVarint,
    },
    /// A number or a length takes more bytes than it needs.
    #[error("the peer padded the {field} in its preface")]
    Padded {
        /// Which one.
        field: PrefaceField,
    },
    /// A text is longer than this end takes.
    #[error("the peer announced a {field} of {length} bytes in its preface, the limit is {limit}")]
    TooLong {
        /// Which one.
        field: PrefaceField,
        /// Its bytes.
        length: u64,
        /// The largest that this end takes.
        limit: usize,
    },
    /// A text is not UTF-8.
    #[error("the peer sent a {field} that is not UTF-8 in its preface")]
    NotUtf8 {
        /// Which one.
        field: PrefaceField,
    },
    /// The status of a reply does not fit into 16 bits.
    #[error("the peer answered with the impossible status {status}")]
    Status {
        /// Its value.
        status: u64,
    },
}

/// A part of a preface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrefaceField {
    /// The version of the protocol.
    Version,
    /// [`Hello::client_key`](crate::wire::Hello::client_key).
    ClientKey,
    /// [`Hello::token`](crate::wire::Hello::token).
    Token,
    /// [`HelloReply::status`](crate::wire::HelloReply::status).
    Status,
    /// [`HelloReply::text`](crate::wire::HelloReply::text).
    Text,
}

impl fmt::Display for PrefaceField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::ClientKey => "client key",
            Self::Token => "token",
            Self::Status => "status",
            Self::Text => "text",
        })
    }
}
