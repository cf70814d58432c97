//! Sessions in virtual time: two of them joined by a pipe ([`Pair`]), or one that faces a peer
//! made by hand ([`Lone`]).

#![allow(clippy::cast_possible_truncation, reason = "bytes of a pattern")]

mod config;
mod end;
mod lone;
mod pair;
pub(crate) mod remotedialer;

use std::time::Duration;

use watertight_core::ConnectionId;
use watertight_core::wire::{DecodeLimits, Dialect, Message};

pub(crate) use config::config;
pub(crate) use end::End;
pub(crate) use lone::Lone;
pub(crate) use pair::Pair;

pub(crate) const DIALECTS: [Dialect; 2] = [Dialect::Base, Dialect::Extended];

pub(crate) const TARGET: &str = "tcp/127.0.0.1:80";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Any id, as a peer would put it on the wire.
pub(crate) fn id(number: i64) -> ConnectionId {
    let mut zigzag = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut message = vec![0];
    while zigzag >= 0x80 {
        message.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    message.push(zigzag as u8);
    // The type Pause, zig-zag.
    message.push(12);
    decode(message.into(), Dialect::Base).connection
}

pub(crate) fn decode(message: bytes::Bytes, dialect: Dialect) -> Message {
    Message::decode(message, dialect, &DecodeLimits::default()).unwrap()
}

/// Bytes that depend on their position in a stream.
pub(crate) fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place.wrapping_mul(0x9e37_79b1) >> 13) as u8).collect()
}

/// As `assert_eq`, without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(got: &[u8], expected: &[u8]) {
    let differs = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert_eq!(differs, None, "place of the first difference");
    assert_eq!(got.len(), expected.len(), "lengths");
}
