use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    if when != When::Quiet {
        return Ok(());
    }
    each_host(observed, |books| {
        let (live, expected) = (books.sessions.live, books.sessions_expected);
        if live == expected {
            return Ok(());
        }
        Err(format!("{live} sessions are up at rest, {expected} expected"))
    })
}
