//! What opens a session on a byte stream, where no HTTP upgrade tells who is there.
//!
//! The connector sends a [`Hello`], the acceptor answers with a [`HelloReply`]; messages follow.
//! Numbers are unsigned LEB128 without padding, texts are UTF-8 with their length in front. This
//! layout is the same in every version: a reply must be readable to those it refuses.

mod error;
mod reader;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Bytes, BytesMut};

pub use error::{InvalidPreface, PrefaceField};

use super::varint;
use reader::decode;

// A zero byte starts neither an HTTP request nor a TLS record, so one port can tell them apart.
// The magics differ, so that an end that is connected to itself or to an echo notices.
const HELLO: &[u8; 12] = b"\0watertight?";
const REPLY: &[u8; 12] = b"\0watertight!";

/// What the connector sends first.
///
/// The token is not shown by `Debug`. `==` takes a time that depends on the content: whoever
/// verifies a token compares it in constant time instead.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// The newest version of the protocol that the connector speaks.
    pub version: u64,
    /// Who the connector says it is.
    pub client_key: String,
    /// What proves it.
    pub token: String,
}

/// What the acceptor answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The version that both speak from here on.
    pub version: u64,
    /// 0 when the connector is welcome, otherwise the HTTP status that says why not.
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
    /// The other end is not a connector of this protocol, or breaks it.
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
    /// The other end is not an acceptor of this protocol, or breaks it.
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
