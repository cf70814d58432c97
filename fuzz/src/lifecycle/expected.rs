//! The situations that an exploration must reach; an exploration that misses one proves too little.

use std::collections::BTreeSet;

use watertight_core::wire::Dialect;

/// What there is to reach in both dialects, and in each one.
const BOTH: [&str; 19] = [
    "a blocked reader",
    "a blocked writer",
    "a complete transfer",
    "aborted cut",
    "accept_timeout cut",
    "dropped cut",
    "finished cut",
    "linger_timeout cut",
    "opened",
    "remote_reset cut",
    "refused cut",
    "session closed",
    "session drained",
    "session lost",
    "session silent",
    "session stalled",
    "session_ended cut",
    "two blocked writers",
    "two open connections",
];
const BASE: [&str; 2] = ["remote_closed complete", "remote_closed cut"];
const EXTENDED: [&str; 6] = [
    "dial_timeout cut",
    "finished complete",
    "going_away cut",
    "remote_reset complete",
    "session closed by the remote",
    "stopped cut",
];

/// What explorations of a dialect should have reached and have not: what reaches nothing proves nothing.
#[must_use]
pub fn missing(dialect: Dialect, reached: &BTreeSet<String>) -> Vec<&'static str> {
    let own: &[_] = match dialect {
        Dialect::Base => &BASE,
        Dialect::Extended => &EXTENDED,
    };
    let all = BOTH.iter().chain(own).copied();
    all.filter(|name| !reached.contains(*name)).collect()
}
