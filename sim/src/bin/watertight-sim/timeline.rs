//! A trace as text.

use std::fmt::Write;

use watertight_sim::{Moment, Outcome};

/// A story as text: all of it, or what happens at the hosts without what goes between them.
pub(crate) fn timeline(moments: &[Moment], outcome: &Outcome, whole: bool) -> String {
    let mut text = String::new();
    for moment in moments.iter().filter(|moment| whole || moment.to.is_none()) {
        // Writing to a text cannot fail.
        writeln!(text, "{moment}").ok();
    }
    match &outcome.violation {
        Some(violation) => writeln!(text, "VIOLATION  {violation}"),
        None => {
            writeln!(text, "all invariants hold, after {:?} of virtual time", outcome.virtual_time)
        }
    }
    .ok();
    text
}
