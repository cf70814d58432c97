//! The preface of a session on a byte stream, which has no HTTP upgrade.
//!
//! The connector sends a [`Hello`], the acceptor answers with a [`HelloReply`]; messages follow.
//! Numbers are unsigned LEB128 without padding, texts are UTF-8 with their length in front. This
//! layout is the same in every version: a reply must be readable to those it refuses.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::{InvalidVarint, varint};

// A zero byte starts neither an HTTP request nor a TLS record, so one port can serve all three. The
// magics differ, so that an end that is connected to itself or to an echo notices.
const HELLO: &[u8; 12] = b"\0watertight?";
const REPLY: &[u8; 12] = b"\0watertight!";

/// The first message of the connector.
///
/// The token is not shown by `Debug`. `==` takes a time that depends on the content: a verifier
/// compares tokens in constant time instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The newest version of the protocol that the connector speaks.
    pub version: u64,
    /// The key that the connector claims.
    pub client_key: String,
    /// The proof of it.
    pub token: String,
}

/// The answer of the acceptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The version that both speak from here on.
    pub version: u64,
    /// 0 when the connector is accepted, otherwise the HTTP status of the refusal.
    pub status: u16,
    /// Why not, for people.
    pub text: String,
}

/// How much of a preface is taken in. Nothing is allocated for what is above a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefaceLimits {
    /// The longest client key, in bytes.
    pub client_key: usize,
    /// The longest token, in bytes.
    pub token: usize,
    /// The longest text of a reply, in bytes.
    pub text: usize,
}

impl Hello {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = start(HELLO, self.version);
        put_text(&mut out, &self.client_key);
        put_text(&mut out, &self.token);
        out.into()
    }

    /// Takes a hello off the front of `buffer`; `None`, and nothing taken, while it is incomplete.
    ///
    /// # Errors
    ///
    /// The remote is not a connector of this protocol, or breaks it.
    pub fn decode(
        buffer: &mut BytesMut,
        limits: &PrefaceLimits,
    ) -> Result<Option<Self>, InvalidPreface> {
        decode(buffer, HELLO, |reader| {
            Ok(Self {
                version: reader.number(PrefaceField::Version)?,
                client_key: reader.text(PrefaceField::ClientKey, limits.client_key)?,
                token: reader.text(PrefaceField::Token, limits.token)?,
            })
        })
    }
}

impl HelloReply {
    /// The status of a connector that is welcome.
    pub const ACCEPTED: u16 = 0;

    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = start(REPLY, self.version);
        put_number(&mut out, self.status.into());
        put_text(&mut out, &self.text);
        out.into()
    }

    /// Takes a reply off the front of `buffer`; `None`, and nothing taken, while it is incomplete.
    ///
    /// # Errors
    ///
    /// The remote is not an acceptor of this protocol, or breaks it.
    pub fn decode(
        buffer: &mut BytesMut,
        limits: &PrefaceLimits,
    ) -> Result<Option<Self>, InvalidPreface> {
        decode(buffer, REPLY, |reader| {
            Ok(Self {
                version: reader.number(PrefaceField::Version)?,
                status: reader.status()?,
                text: reader.text(PrefaceField::Text, limits.text)?,
            })
        })
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("version", &self.version)
            .field("client_key", &self.client_key)
            .finish_non_exhaustive()
    }
}

impl Default for PrefaceLimits {
    fn default() -> Self {
        Self {
            // As long as the wire takes a client key anywhere else.
            client_key: 512,
            // A JSON Web Token with a few claims and an RSA signature has 1 to 2 KiB.
            token: 4096,
            // As long as a text in a message.
            text: 1024,
        }
    }
}

fn start(magic: &[u8], version: u64) -> Vec<u8> {
    let mut out = magic.to_vec();
    put_number(&mut out, version);
    out
}

fn put_number(out: &mut Vec<u8>, value: u64) {
    varint::write_unsigned(value, |byte| out.push(byte));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len().try_into().unwrap_or(u64::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// Why reading stopped before the end of a preface.
enum Stop {
    Incomplete,
    Invalid(InvalidPreface),
}

impl From<InvalidPreface> for Stop {
    fn from(error: InvalidPreface) -> Self {
        Self::Invalid(error)
    }
}

/// A preface is short, so reading it again from its start whenever more arrives costs nothing.
fn decode<T>(
    buffer: &mut BytesMut,
    magic: &[u8],
    fields: impl FnOnce(&mut Reader<'_>) -> Result<T, Stop>,
) -> Result<Option<T>, InvalidPreface> {
    let mut reader = Reader { rest: buffer };
    let read = reader.magic(magic).and_then(|()| fields(&mut reader));
    let left = reader.rest.len();
    match read {
        Ok(preface) => {
            buffer.advance(buffer.len() - left);
            Ok(Some(preface))
        }
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Invalid(error)) => Err(error),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A wrong byte is reported at once: a remote that speaks another protocol may not send any
    /// more.
    fn magic(&mut self, magic: &[u8]) -> Result<(), Stop> {
        if let Some(position) = self.rest.iter().zip(magic).position(|(got, want)| got != want) {
            return Err(InvalidPreface::Magic { position }.into());
        }
        self.take(magic.len()).map(|_| ())
    }

    fn number(&mut self, field: PrefaceField) -> Result<u64, Stop> {
        let (value, len) = match varint::read_unsigned(self.rest) {
            Ok(number) => number,
            Err(InvalidVarint::Truncated) => return Err(Stop::Incomplete),
            Err(source) => return Err(InvalidPreface::Varint { field, source }.into()),
        };
        if varint::is_padded(value, len) {
            return Err(InvalidPreface::Padded { field }.into());
        }
        self.take(len).map(|_| value)
    }

    fn status(&mut self) -> Result<u16, Stop> {
        let status = self.number(PrefaceField::Status)?;
        u16::try_from(status).map_err(|_| InvalidPreface::Status { status }.into())
    }

    fn text(&mut self, field: PrefaceField, limit: usize) -> Result<String, Stop> {
        let announced = self.number(field)?;
        let length = usize::try_from(announced).ok().filter(|&length| length <= limit);
        let length = length.ok_or(InvalidPreface::TooLong { field, length: announced, limit })?;
        let text = str::from_utf8(self.take(length)?);
        Ok(text.map_err(|_| InvalidPreface::NotUtf8 { field })?.into())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Stop::Incomplete)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// How a preface that the remote sent breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPreface {
    /// The remote does not speak this protocol (P3.4).
    #[error("the remote does not speak watertight: byte {position} of its preface is wrong")]
    Magic {
        /// Where its first wrong byte stands.
        position: usize,
    },
    /// A number or a length is malformed (P1.2).
    #[error("the remote sent a malformed {field} in its preface")]
    Varint {
        /// Which one.
        field: PrefaceField,
        /// How it is malformed.
        source: InvalidVarint,
    },
    /// A number or a length takes more bytes than it needs (P1.2).
    #[error("the remote padded the {field} in its preface")]
    Padded {
        /// Which one.
        field: PrefaceField,
    },
    /// A text is longer than this end takes (P3.4).
    #[error(
        "the remote announced a {field} of {length} bytes in its preface, the limit is {limit}"
    )]
    TooLong {
        /// Which one.
        field: PrefaceField,
        /// Its bytes.
        length: u64,
        /// The largest that this end takes.
        limit: usize,
    },
    /// A text is not UTF-8 (P3.4).
    #[error("the remote sent a {field} that is not UTF-8 in its preface")]
    NotUtf8 {
        /// Which one.
        field: PrefaceField,
    },
    /// The status of a reply does not fit into 16 bits (P3.4).
    #[error("the remote answered with the impossible status {status}")]
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
    /// [`Hello::client_key`](Hello::client_key).
    ClientKey,
    /// [`Hello::token`](Hello::token).
    Token,
    /// [`HelloReply::status`](HelloReply::status).
    Status,
    /// [`HelloReply::text`](HelloReply::text).
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
