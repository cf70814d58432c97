//! Two sessions, a pipe, and any schedule: the invariants hold at every step, and everything
//! comes to rest. More schedules than in a plain `cargo test`: set `PROPTEST_CASES`.

mod pipe;
mod support;

use std::collections::BTreeSet;

use pipe::{SIDES, operations, run, setups};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use watertight_core::{Cause, Event, SessionEnd};

proptest! {
    // A failure becomes a test of its own below, and needs no file.
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_schedule_keeps_the_invariants_and_comes_to_rest(
        setup in setups(),
        operations in operations(),
    ) {
        run(&setup, &operations);
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Retired { end, .. } => {
            let complete = if end.complete { "complete" } else { "cut" };
            format!("{} {complete}", end.cause)
        }
        Event::Closed(end) => format!("session {}", session_end(end)),
        event => format!("{event:?}").split(['(', ' ']).next().unwrap().to_string(),
    }
}

fn session_end(end: &SessionEnd) -> &'static str {
    match end {
        SessionEnd::Closed { .. } => "closed",
        SessionEnd::Drained => "drained",
        SessionEnd::PeerClosed { .. } => "closed by the other end",
        SessionEnd::PeerMisbehaved(_) => "fault",
        SessionEnd::Transport(_) => "cut",
        SessionEnd::Silent { .. } => "silent",
        SessionEnd::Stalled { .. } => "stalled",
        _ => "new",
    }
}

/// A generator that reaches nothing proves nothing.
#[test]
fn the_schedules_reach_what_there_is_to_reach() {
    let mut runner = TestRunner::deterministic();
    let strategy = (setups(), operations());
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..20000 {
        let (setup, operations) = strategy.new_tree(&mut runner).unwrap().current();
        let world = run(&setup, &operations);
        for side in SIDES {
            for event in &world.view(side).end.events {
                *seen.entry(format!("{:?} {}", setup.dialect, name(event))).or_default() += 1;
            }
        }
    }
    eprintln!("{seen:#?}");
}
