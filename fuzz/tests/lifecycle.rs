//! A small part of the exhaustive check; the program `lifecycle` explores more.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::collections::BTreeSet;

use watertight_core::wire::Dialect;
use watertight_fuzz::lifecycle::{Bounds, explore};

/// What there is to reach in both dialects, and in each one.
const BOTH: [&str; 17] = [
    "a blocked reader",
    "a blocked writer",
    "a complete transfer",
    "aborted cut",
    "accept_timeout cut",
    "dropped cut",
    "finished cut",
    "linger_timeout cut",
    "opened",
    "peer_reset cut",
    "refused cut",
    "session closed",
    "session drained",
    "session lost",
    "session silent",
    "session stalled",
    "session_ended cut",
];
const BASE: [&str; 2] = ["peer_closed complete", "peer_closed cut"];
const EXTENDED: [&str; 6] = [
    "dial_timeout cut",
    "finished complete",
    "going_away cut",
    "peer_reset complete",
    "session closed by the other end",
    "stopped cut",
];

#[test]
fn everything_holds_in_the_base_dialect() {
    check(Dialect::Base, &BASE);
}

#[test]
fn everything_holds_in_the_extended_dialect() {
    check(Dialect::Extended, &EXTENDED);
}

/// Short paths of everything, all paths of a connection without bytes, and some with.
fn check(dialect: Dialect, own: &[&str]) {
    let wide = Bounds { steps: 5, ..Bounds::wide(dialect) };
    let quiet = Bounds { bytes: 0, waits: 0, ..Bounds::timed(dialect) };
    let transfer = Bounds { steps: 16, waits: 0, ..Bounds::timed(dialect) };
    let timed = Bounds { steps: 10, bytes: 0, ..Bounds::timed(dialect) };
    let reached: BTreeSet<_> = [wide, quiet, transfer, timed].iter().flat_map(reached).collect();
    for name in BOTH.iter().chain(own) {
        assert!(reached.contains(*name), "{name} was not reached: {reached:?}");
    }
    assert!(!reached.iter().any(|name| name.starts_with("not_listed")));
}

fn reached(bounds: &Bounds) -> BTreeSet<String> {
    let report = explore(bounds, 1, |_| ()).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{bounds:?}: {report}");
    assert_eq!(report.whole, bounds.steps == u16::MAX);
    report.reached
}
