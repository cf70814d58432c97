//! The tables of the adapter have no entry without an owner.

use super::{When, each_host};
use crate::observed::{Kept, Observed};

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let Kept { streams, permits, handshakes, sessions, held } = ledger.kept;
        match when {
            When::Running => Ok(()),
            When::Quiet if streams > 0 => {
                Err(format!("{streams} streams without an owner are kept"))
            }
            When::Quiet if held > 0 => Err(format!("{held} sessions that have ended are kept")),
            _ if permits > 0 => Err(format!("{permits} permits were never given back")),
            _ if handshakes > 0 => Err(format!("{handshakes} sockets without a session are kept")),
            When::Quiet if sessions > ledger.sessions.live => {
                let live = ledger.sessions.live;
                Err(format!("{sessions} sessions are kept, of which {live} are up"))
            }
            When::Ended if sessions > 0 => Err(format!("{sessions} sessions are kept")),
            _ => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{host, tally};

    #[test]
    fn at_rest_no_entry_of_a_stream_and_no_permit_is_left() {
        let streams = host(|ledger| ledger.kept.streams = 1);
        assert_eq!(check(When::Running, &streams), Ok(()));
        let kept = "agent0: 1 streams without an owner are kept";
        assert_eq!(check(When::Quiet, &streams), Err(kept.into()));
        // An application may hold its stream longer than the software runs.
        assert_eq!(check(When::Ended, &streams), Ok(()));
        let permits = host(|ledger| ledger.kept.permits = 1);
        assert_eq!(check(When::Running, &permits), Ok(()));
        for when in [When::Quiet, When::Ended] {
            let kept = "agent0: 1 permits were never given back";
            assert_eq!(check(when, &permits), Err(kept.into()));
        }
    }

    #[test]
    fn at_rest_no_handshake_is_left() {
        let handshakes = host(|ledger| ledger.kept.handshakes = 3);
        assert_eq!(check(When::Running, &handshakes), Ok(()));
        for when in [When::Quiet, When::Ended] {
            let kept = "agent0: 3 sockets without a session are kept";
            assert_eq!(check(when, &handshakes), Err(kept.into()));
        }
    }

    #[test]
    fn at_rest_no_ended_session_is_held() {
        let held = host(|ledger| ledger.kept.held = 2);
        assert_eq!(check(When::Running, &held), Ok(()));
        let kept = "agent0: 2 sessions that have ended are kept";
        assert_eq!(check(When::Quiet, &held), Err(kept.into()));
    }

    #[test]
    fn sessions_are_kept_for_as_long_as_they_are_up() {
        let sessions =
            |kept| host(|ledger| (ledger.kept.sessions, ledger.sessions) = (kept, tally(3, 1, 2)));
        assert_eq!(check(When::Running, &sessions(3)), Ok(()));
        assert_eq!(check(When::Quiet, &sessions(2)), Ok(()));
        let kept = "agent0: 3 sessions are kept, of which 2 are up";
        assert_eq!(check(When::Quiet, &sessions(3)), Err(kept.into()));
        assert_eq!(check(When::Ended, &sessions(0)), Ok(()));
        assert_eq!(check(When::Ended, &sessions(1)), Err("agent0: 1 sessions are kept".into()));
    }
}
