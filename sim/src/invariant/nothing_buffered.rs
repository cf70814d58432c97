use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let held = match when {
            When::Running => return Ok(()),
            When::Quiet => !books.connections.is_quiet(),
            When::Over => !books.connections.is_even(),
        };
        if held { Err(books.connections.to_string()) } else { Ok(()) }
    })
}
