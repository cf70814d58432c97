//! The operations of a schedule, and their generator.

use proptest::prelude::*;
use watertight_core::testkit::Side;

/// What happens next. `which` picks one of the connections whose handle the application holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    /// A dial that is accepted at once.
    Connect {
        side: Side,
    },
    Open {
        side: Side,
        within: u16,
    },
    Accept {
        side: Side,
        which: u8,
    },
    Refuse {
        side: Side,
        which: u8,
    },
    Write {
        side: Side,
        which: u8,
        length: u16,
    },
    Read {
        side: Side,
        which: u8,
        most: u16,
    },
    Finish {
        side: Side,
        which: u8,
    },
    Reset {
        side: Side,
        which: u8,
    },
    Release {
        side: Side,
        which: u8,
    },
    /// The transport takes up to so many messages.
    Transmit {
        side: Side,
        count: u8,
    },
    /// Up to so many messages arrive at this end.
    Deliver {
        side: Side,
        count: u8,
    },
    /// Everything that can move moves, without time passing.
    Flow,
    /// Milliseconds pass, and nothing moves.
    Advance {
        millis: u16,
    },
    /// Seconds pass, and everything moves.
    Pass {
        seconds: u8,
    },
    Drain {
        side: Side,
        within: u16,
    },
    Close {
        side: Side,
    },
    /// The transport breaks; items in flight are lost.
    Cut,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Agent), Just(Side::Server)]
}

fn connection() -> impl Strategy<Value = (Side, u8)> {
    (side(), any::<u8>())
}

fn millis() -> impl Strategy<Value = u16> {
    prop_oneof![3 => 0..50_u16, 2 => 0..3000_u16, 2 => 0..25_000_u16, 1 => 0..60_000_u16]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => side().prop_map(|side| Operation::Connect { side }),
        6 => (side(), millis()).prop_map(|(side, within)| Operation::Open { side, within }),
        6 => connection().prop_map(|(side, which)| Operation::Accept { side, which }),
        1 => connection().prop_map(|(side, which)| Operation::Refuse { side, which }),
        14 => (connection(), 1..6000_u16)
            .prop_map(|((side, which), length)| Operation::Write { side, which, length }),
        14 => (connection(), 1..6000_u16)
            .prop_map(|((side, which), most)| Operation::Read { side, which, most }),
        5 => connection().prop_map(|(side, which)| Operation::Finish { side, which }),
        2 => connection().prop_map(|(side, which)| Operation::Reset { side, which }),
        4 => connection().prop_map(|(side, which)| Operation::Release { side, which }),
        10 => (side(), 1..20_u8).prop_map(|(side, count)| Operation::Transmit { side, count }),
        10 => (side(), 1..20_u8).prop_map(|(side, count)| Operation::Deliver { side, count }),
        8 => Just(Operation::Flow),
        5 => millis().prop_map(|millis| Operation::Advance { millis }),
        3 => (0..45_u8).prop_map(|seconds| Operation::Pass { seconds }),
        1 => (side(), millis()).prop_map(|(side, within)| Operation::Drain { side, within }),
    ]
}

/// A schedule. What ends a whole session is rare, or there would be little to see.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let ending =
        prop_oneof![side().prop_map(|side| Operation::Close { side }), Just(Operation::Cut),];
    let some = proptest::collection::vec(operation(), 1..80);
    (some, proptest::option::weighted(0.15, (ending, any::<proptest::sample::Index>()))).prop_map(
        |(mut operations, ending)| {
            if let Some((ending, place)) = ending {
                operations.insert(place.index(operations.len()), ending);
            }
            operations
        },
    )
}
