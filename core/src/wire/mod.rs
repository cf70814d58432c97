//! The wire: one codec for the base protocol of remotedialer and for our extension of it.
//!
//! A [`Message`] is what one binary WebSocket message holds. On a byte stream a message has its
//! length in front ([`decode_frame`], [`frame_prefix`]) and the session starts with a preface
//! ([`Hello`], [`HelloReply`]).
//!
//! Every error of this module is the remote's fault: it sent what the protocol does not allow.

mod decode;
mod encode;
mod error;
mod message;
mod preface;
mod varint;

#[cfg(test)]
mod tests;

pub use decode::{DecodeLimits, printable};
pub use encode::{Encoded, Header, data_header};
pub use error::{Field, InvalidMessage};
pub use message::{Body, ClientRoute, Dialect, EOF, GoAwayCode, Message, ResetCode, Settings};
pub use preface::{Hello, HelloReply, InvalidPreface, PrefaceField, PrefaceLimits};
pub use varint::{
    FramePrefix, Inline, InvalidFrame, InvalidVarint, MAX_FRAME, decode_frame, frame_prefix,
};

/// How much of a payload the Go implementation of the base protocol reads.
///
/// It cuts a longer one silently, and a cut target is another target. A sender toward such an end
/// refuses what does not fit.
pub mod base {
    /// The longest Connect payload (`proto/address`), in bytes.
    pub const MAX_TARGET: usize = 266;

    /// The longest AddClient or RemoveClient payload (`clientKey/sessionKey`), in bytes.
    pub const MAX_ROUTE: usize = 100;

    /// The part of an Error text that is read, in bytes. Cutting is harmless here: people read it.
    pub const MAX_ERROR: usize = 100;
}
