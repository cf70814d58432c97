//! At rest, each host has the sessions that the schedule left it: no session outlives its remote.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    if when != When::Quiet {
        return Ok(());
    }
    each_host(observed, |ledger| {
        let (live, expected) = (ledger.sessions.live, ledger.sessions_expected);
        if live == expected {
            return Ok(());
        }
        Err(format!("{live} sessions are up at rest, {expected} expected"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{host, tally};

    #[test]
    fn at_rest_there_are_as_many_as_there_should_be() {
        let up = |live| {
            host(|ledger| (ledger.sessions, ledger.sessions_expected) = (tally(live, 0, live), 2))
        };
        assert_eq!(check(When::Quiet, &up(2)), Ok(()));
        for wrong in [1, 3] {
            let what = format!("agent0: {wrong} sessions are up at rest, 2 expected");
            assert_eq!(check(When::Quiet, &up(wrong)), Err(what));
            // They come and go while it runs, and in the end they have gone.
            assert_eq!(check(When::Running, &up(wrong)), Ok(()));
            assert_eq!(check(When::Ended, &up(wrong)), Ok(()));
        }
    }
}
