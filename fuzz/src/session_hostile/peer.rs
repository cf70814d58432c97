//! A peer puts any id on the wire.

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, DecodeLimits, Dialect, Message};

/// A message about any connection.
pub(super) fn message(number: i64, body: Body) -> Vec<u8> {
    let encoded = Message::new(ConnectionId::SESSION, body).encode();
    // The message's id and the session's have a byte each.
    let (ids, header) = encoded.header.split_at(2);
    debug_assert_eq!(ids, [0, 0]);
    let mut message = Vec::with_capacity(encoded.len() + 10);
    message.push(0);
    put(number, &mut message);
    message.extend_from_slice(header);
    message.extend_from_slice(&encoded.payload);
    message
}

/// Any id, as the remote would read it.
pub(super) fn id(number: i64) -> ConnectionId {
    let message = Bytes::from(message(number, Body::Pause));
    match Message::decode(message, Dialect::Base, &DecodeLimits::default()) {
        Ok(message) => message.connection,
        Err(error) => unreachable!("{error}"),
    }
}

/// A signed number as the wire has it.
fn put(number: i64, message: &mut Vec<u8>) {
    let mut zigzag = (number << 1 ^ number >> 63).cast_unsigned();
    while zigzag >= 0x80 {
        message.push(zigzag.to_le_bytes()[0] | 0x80);
        zigzag >>= 7;
    }
    message.push(zigzag.to_le_bytes()[0]);
}
