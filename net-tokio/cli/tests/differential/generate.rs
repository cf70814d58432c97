//! Conversations that proptest makes up and shrinks.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::conversation::{Conversation, Leave, Script, Step};

/// Steps of one script.
const STEPS: usize = 6;

pub(crate) fn conversation() -> impl Strategy<Value = Conversation> {
    let early = proptest::bool::weighted(0.15);
    (early, script(), script())
        .prop_map(|(early, client, target)| Conversation { early, client, target }.mended())
}

fn script() -> impl Strategy<Value = Script> {
    (vec(step(), 0..=STEPS), leave()).prop_map(|(steps, leave)| Script { steps, leave })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => bytes().prop_map(Step::Send),
        4 => bytes().prop_map(Step::Read),
        3 => Just(Step::ReadToEnd),
        3 => (0..=7u8).prop_map(Step::Wait),
        2 => Just(Step::Finish),
        1 => Just(Step::Flood),
        1 => (1..=4u8).prop_map(Step::Pause),
    ]
}

/// Mostly few bytes; sometimes as many as the kernel holds; now and then more.
fn bytes() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => 1..20u32,
        3 => 20..2_000u32,
        2 => 2_000..30_000u32,
        2 => 30_000..=60_000u32,
        1 => 60_000..1_000_000u32,
    ]
}

fn leave() -> impl Strategy<Value = Leave> {
    prop_oneof![4 => Just(Leave::Close), 3 => Just(Leave::Reset), 2 => Just(Leave::Keep)]
}
