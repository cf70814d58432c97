//! The wire: one codec for the base protocol of remotedialer and for our extension of it.
//!
//! A [`Message`] is what one binary WebSocket message holds. On a byte stream a message has its
//! length in front ([`decode_frame`], [`frame_prefix`]) and the session starts with a preface
//! ([`Hello`], [`HelloReply`]).
//!
//! Every error of this module is the other end's fault: it sent what the protocol does not allow.

pub mod base;
mod code;
mod decode;
mod encode;
mod error;
mod framing;
mod inline;
mod kind;
mod limits;
mod message;
mod preface;
mod reader;
mod settings;
mod text;
mod varint;

#[cfg(test)]
mod tests;

pub use code::{GoAwayCode, ResetCode};
pub use encode::{Encoded, Header, data_header};
pub use error::{Field, InvalidMessage};
pub use framing::{FramePrefix, InvalidFrame, MAX_FRAME, decode_frame, frame_prefix};
pub use inline::Inline;
pub use limits::DecodeLimits;
pub use message::{Body, ClientRoute, Dialect, EOF, Message};
pub use preface::{Hello, HelloReply, InvalidPreface, PrefaceField, PrefaceLimits};
pub use settings::Settings;
pub use text::printable;
pub use varint::InvalidVarint;
