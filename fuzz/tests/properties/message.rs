//! The message codec on arbitrary bytes and on arbitrary payloads behind a valid header.

use proptest::prelude::*;
use watertight_fuzz::message;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes(input: Vec<u8>) {
        message::run(&input);
    }

    /// The header is right, so that the payload is processed.
    #[test]
    fn any_payload(kind in 1..=41_u8, payload: Vec<u8>) {
        let kind = kind * 2;
        message::run(&[&[0, 2, kind, 0], &*payload].concat());
        message::run(&[&[0, 2, kind], &*payload].concat());
    }
}
