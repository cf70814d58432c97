//! Seeds with a little damage: an almost correct input reaches deeper than a random one.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use watertight_fuzz::{dialogue, framing, handshake, message, seeds};

/// A seed of a target of which some bytes are others and the end may be missing.
fn damaged(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let damage = proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    let length = prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (select(seeds::of(target)), damage, length).prop_map(|(mut seed, damage, length)| {
        for (place, byte) in damage {
            *place.get_mut(&mut seed) = byte;
        }
        if let Some(length) = length {
            seed.truncate(length.index(seed.len() + 1));
        }
        seed
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn of_messages(input in damaged("message")) {
        message::run(&input);
    }

    #[test]
    fn of_streams(input in damaged("framing")) {
        framing::run(&input);
    }

    #[test]
    fn of_handshakes(input in damaged("handshake")) {
        handshake::run(&input);
    }

    #[test]
    fn of_schedules(input in damaged("dialogue")) {
        dialogue::run(&input);
    }
}
