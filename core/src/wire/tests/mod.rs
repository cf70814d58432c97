//! Tests that need to make connection ids, which only this crate does.

mod arbitrary;
mod encoding;
mod extension;
mod malformed;
mod round_trip;

use std::vec::Vec;

use bytes::Bytes;

use super::{Body, DecodeLimits, Dialect, InvalidMessage, Message};
use crate::ConnectionId;

/// The whole encoding of a message.
fn bytes_of(message: &Message) -> Bytes {
    let encoded = message.encode();
    [&*encoded.header, &*encoded.payload].concat().into()
}

/// The encoding of a message with header values of one byte each.
fn raw(kind: u8, rest: &[u8]) -> Bytes {
    let zig_zag = kind.checked_mul(2).unwrap();
    let header: &[u8] = if zig_zag < 0x80 { &[0, 2, zig_zag] } else { &[0, 2, zig_zag, 1] };
    [header, rest].concat().into()
}

fn decode(input: Bytes) -> Result<Body, InvalidMessage> {
    decode_within(input, &DecodeLimits::default())
}

fn decode_within(input: Bytes, limits: &DecodeLimits) -> Result<Body, InvalidMessage> {
    Message::decode(input, Dialect::Extended, limits).map(|message| message.body)
}

fn ids(ids: &[i64]) -> Vec<ConnectionId> {
    ids.iter().copied().map(ConnectionId::from_wire).collect()
}
