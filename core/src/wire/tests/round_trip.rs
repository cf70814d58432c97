use std::vec::Vec;

use proptest::prelude::*;

use super::arbitrary::message;
use super::bytes_of;
use crate::wire::{Body, DecodeLimits, Dialect, Message};

proptest! {
    #[test]
    fn a_base_message_comes_back(message in message(Dialect::Base)) {
        let decoded = Message::decode(bytes_of(&message), Dialect::Base, &DecodeLimits::default());
        prop_assert_eq!(decoded, Ok(message));
    }

    #[test]
    fn an_extended_message_comes_back(message in message(Dialect::Extended)) {
        let bytes = bytes_of(&message);
        let decoded = Message::decode(bytes, Dialect::Extended, &DecodeLimits::default());
        prop_assert_eq!(decoded, Ok(message));
    }

    #[test]
    fn the_length_is_that_of_the_bytes(message in message(Dialect::Extended)) {
        prop_assert_eq!(message.encode().len(), bytes_of(&message).len());
    }

    /// A base end meets the extension as it would meet the future: it looks away.
    #[test]
    fn a_base_end_never_fails_on_a_correct_message(message in message(Dialect::Extended)) {
        let decoded =
            Message::decode(bytes_of(&message), Dialect::Base, &DecodeLimits::default()).unwrap();
        let kind = message.body.kind();
        let unknown = matches!(decoded.body, Body::Unknown { kind: seen } if seen == kind);
        prop_assert_eq!(unknown, kind <= 0 || kind >= 9);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, extended: bool) {
        decode_and_encode(bytes, extended);
    }

    /// The header is right, so that the payload is looked at.
    #[test]
    fn no_payload_panics(kind in 1..=41_u8, payload: Vec<u8>, extended: bool) {
        let kind = kind * 2;
        decode_and_encode([&[0, 2, kind, 0], &*payload].concat(), extended);
        decode_and_encode([&[0, 2, kind], &*payload].concat(), extended);
    }

    #[test]
    fn no_damaged_message_panics(
        message in message(Dialect::Extended),
        position: prop::sample::Index,
        byte: u8,
        len: prop::sample::Index,
    ) {
        let mut bytes = bytes_of(&message).to_vec();
        *position.get_mut(&mut bytes) = byte;
        bytes.truncate(len.index(bytes.len() + 1));
        decode_and_encode(bytes, true);
    }
}

/// What was understood is understood in the same way when it is passed on.
fn decode_and_encode(bytes: Vec<u8>, extended: bool) {
    let dialect = if extended { Dialect::Extended } else { Dialect::Base };
    let limits = DecodeLimits::default();
    let Ok(mut message) = Message::decode(bytes.into(), dialect, &limits) else {
        return;
    };
    if let Body::SyncConnections { ids } = &mut message.body {
        ids.sort_unstable();
        ids.dedup();
    }
    let again = Message::decode(bytes_of(&message), dialect, &limits);
    assert_eq!(again, Ok(message));
}
