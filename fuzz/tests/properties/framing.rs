//! Framing: any split of a stream yields the same messages.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use watertight_core::wire::frame_prefix;
use watertight_fuzz::framing::{LIMITS, Stream, check};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_in_any_pieces(limit in select(&LIMITS[..]), pieces: Vec<u8>, bytes: Vec<u8>) {
        check(&Stream { limit, pieces: &pieces, bytes: &bytes });
    }

    #[test]
    fn messages_in_any_pieces_are_the_messages(
        messages in vec(vec(any::<u8>(), 1..300), 0..20),
        pieces: Vec<u8>,
    ) {
        let frame = |message: &Vec<u8>| [&*frame_prefix(message.len()), message].concat();
        let bytes: Vec<_> = messages.iter().flat_map(frame).collect();
        prop_assert_eq!(check(&Stream { limit: 300, pieces: &pieces, bytes: &bytes }), messages);
    }
}
