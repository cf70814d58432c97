//! The registry against a naive model, over arbitrary operations.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use watertight_fuzz::registry::{DIALECTS, KINDS, Kind, NAMES, Name, Op, Speaks, check};

fn op() -> impl Strategy<Value = Op> {
    let name = || select(&NAMES[..]).prop_map(Name);
    let kind = select(&KINDS[..]).prop_map(Kind);
    let speaks = select(&DIALECTS[..]).prop_map(Speaks);
    let place = || 0..40_u8;
    let number = || 0..3_u8;
    prop_oneof![
        4 => (kind, name(), speaks).prop_map(|(kind, name, speaks)| Op::Insert(kind, name, speaks)),
        2 => place().prop_map(Op::Remove),
        1 => name().prop_map(Op::RemovePeer),
        6 => (place(), name(), number())
            .prop_map(|(place, name, number)| Op::AddRoute(place, name, number)),
        3 => (place(), name(), number())
            .prop_map(|(place, name, number)| Op::RemoveRoute(place, name, number)),
        1 => (place(), name()).prop_map(|(place, name)| Op::Forget(place, name)),
        1 => "(\\PC|[:/%]|%2F){0,20}".prop_map(Op::Dial),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_history_goes_as_in_the_model(ops in vec(op(), 1..80)) {
        check(|| ops.clone());
    }
}
