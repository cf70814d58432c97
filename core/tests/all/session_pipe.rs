//! Two sessions, a link, and any schedule: the invariants hold at every step, and nothing is left
//! in the end. More schedules than in a plain `cargo test`: set `PROPTEST_CASES`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use watertight_core::testkit::Side;
use watertight_core::wire::Dialect;
use watertight_core::{Event, SessionEnd};

use crate::pipe::{World, operations, run, setups};

fn config() -> ProptestConfig {
    // A failure becomes a test of its own, and needs no file.
    ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..Default::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_schedule_keeps_the_invariants_and_comes_to_rest(
        setup in setups(),
        operations in operations(),
    ) {
        run(&setup, &operations);
    }
}

/// What there is to reach in both dialects, and in each one.
const BOTH: [&str; 20] = [
    "Incoming",
    "Opened",
    "Readable",
    "Writable",
    "Ended",
    "aborted cut",
    "accept_timeout cut",
    "dropped cut",
    "finished cut",
    "linger_timeout cut",
    "remote_reset cut",
    "refused cut",
    "session_ended cut",
    "session closed",
    "session cut",
    "session drained",
    "session silent",
    "session stalled",
    "several waited for the send budget",
    "much was read",
];
const BASE: [&str; 3] = ["overrun cut", "remote_closed complete", "remote_closed cut"];
const EXTENDED: [&str; 9] = [
    "GoingAway",
    "dial_timeout cut",
    "dropped complete",
    "finished complete",
    "going_away cut",
    "remote_reset complete",
    "session closed by the remote",
    "session_ended complete",
    "stopped cut",
];

/// A generator that reaches nothing proves nothing. And what must not happen between two right
/// ends does not.
#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn the_schedules_reach_what_there_is_to_reach() {
    let mut runner = TestRunner::deterministic();
    let strategy = (setups(), operations());
    let mut seen = BTreeSet::new();
    for _ in 0..3000 {
        let (setup, operations) = strategy.new_tree(&mut runner).unwrap().current();
        let world = run(&setup, &operations);
        seen.extend(reached(&world).into_iter().map(|what| (setup.dialect == Dialect::Base, what)));
    }
    for what in BOTH.iter().chain(&BASE) {
        assert!(seen.contains(&(true, (*what).to_string())), "base: {what}");
    }
    for what in BOTH.iter().chain(&EXTENDED) {
        assert!(seen.contains(&(false, (*what).to_string())), "extended: {what}");
    }
    assert!(!seen.iter().any(|(_, what)| what.starts_with("not_listed")));
}

fn reached(world: &World) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for side in Side::BOTH {
        let party = world.view(side);
        seen.extend(party.end.events.iter().flatten().map(name));
        if party.most_blocked > 1 {
            seen.insert("several waited for the send budget".into());
        }
        if party.end.app.iter().any(|(_, handle)| handle.read > 10_000) {
            seen.insert("much was read".into());
        }
    }
    seen
}

fn name(event: &Event) -> String {
    match event {
        Event::Retired { end, .. } => {
            format!("{} {}", end.cause, if end.complete { "complete" } else { "cut" })
        }
        Event::Closed(end) => format!("session {}", session_end(end)),
        event => format!("{event:?}").split(['(', ' ']).next().unwrap_or_default().to_string(),
    }
}

fn session_end(end: &SessionEnd) -> &'static str {
    match end {
        SessionEnd::Closed { .. } => "closed",
        SessionEnd::Drained => "drained",
        SessionEnd::RemoteClosed { .. } => "closed by the remote",
        SessionEnd::ProtocolViolation(_) => "fault",
        SessionEnd::Transport(_) => "cut",
        SessionEnd::Silent(_) => "silent",
        SessionEnd::Stalled(_) => "stalled",
        _ => "of an unknown kind",
    }
}
