//! Every message comes back from its bytes.

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
}
