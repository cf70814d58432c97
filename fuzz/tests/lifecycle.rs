//! A small part of the exhaustive check; the program `lifecycle` explores more.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

use std::collections::BTreeSet;

use watertight_core::wire::Dialect;
use watertight_fuzz::lifecycle::{Bounds, explore, missing};

#[test]
fn everything_holds_in_the_base_dialect() {
    check(Dialect::Base);
}

#[test]
fn everything_holds_in_the_extended_dialect() {
    check(Dialect::Extended);
}

/// Short paths of everything and of two open connections, all paths of a connection without bytes, and some
/// with.
fn check(dialect: Dialect) {
    let wide = Bounds { steps: 5, ..Bounds::wide(dialect) };
    let busy = Bounds { steps: 4, waits: 0, endings: false, ..Bounds::busy(dialect) };
    let quiet = Bounds { bytes: 0, waits: 0, ..Bounds::timed(dialect) };
    let transfer = Bounds { steps: 16, waits: 0, ..Bounds::timed(dialect) };
    let timed = Bounds { steps: 10, bytes: 0, ..Bounds::timed(dialect) };
    let reached: BTreeSet<_> =
        [wide, busy, quiet, transfer, timed].iter().flat_map(reached).collect();
    assert_eq!(missing(dialect, &reached), [""; 0], "not reached");
    assert!(!reached.iter().any(|name| name.starts_with("not_listed")));
}

fn reached(bounds: &Bounds) -> BTreeSet<String> {
    let report = explore(bounds, 1, |_| ()).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{bounds:?}: {report}");
    assert_eq!(report.whole, bounds.steps == u16::MAX);
    report.reached
}
