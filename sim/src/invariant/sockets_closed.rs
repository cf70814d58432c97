//! No socket outlives its session.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let (sockets, sessions) = (ledger.sockets, ledger.sessions.live);
        match when {
            When::Quiet if sockets > sessions => {
                Err(format!("{sockets} sockets are open at rest, for {sessions} sessions"))
            }
            When::Ended if sockets > 0 => Err(format!("{sockets} sockets were never closed")),
            _ => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{host, tally};

    #[test]
    fn at_rest_there_is_one_for_each_session_and_in_the_end_none() {
        let sockets =
            |sockets| host(|ledger| (ledger.sockets, ledger.sessions) = (sockets, tally(2, 0, 2)));
        assert_eq!(check(When::Running, &sockets(3)), Ok(()));
        assert_eq!(check(When::Quiet, &sockets(2)), Ok(()));
        let too_many = "agent0: 3 sockets are open at rest, for 2 sessions";
        assert_eq!(check(When::Quiet, &sockets(3)), Err(too_many.into()));
        assert_eq!(check(When::Ended, &sockets(0)), Ok(()));
        assert_eq!(
            check(When::Ended, &sockets(1)),
            Err("agent0: 1 sockets were never closed".into())
        );
    }
}
