//! Buffers are empty without connections; messages and timers are gone with their session.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let held = match when {
            When::Running => return Ok(()),
            When::Quiet => !books.connections.is_quiet(),
            When::Over => !books.connections.is_settled(),
        };
        if held { Err(books.connections.to_string()) } else { Ok(()) }
    })
}

#[cfg(test)]
mod tests {
    use watertight_core::Ledger;

    use super::*;
    use crate::invariant::fixture::host;

    #[test]
    fn what_a_connection_holds_is_gone_at_rest() {
        let holds: [fn(&mut Ledger) -> &mut u64; 5] = [
            |ledger| &mut ledger.live,
            |ledger| &mut ledger.opening,
            |ledger| &mut ledger.dialing,
            |ledger| &mut ledger.bytes_to_send,
            |ledger| &mut ledger.bytes_received,
        ];
        for what in holds {
            let one = host(|books| *what(&mut books.connections) = 1);
            assert_eq!(check(When::Running, &one), Ok(()));
            assert!(check(When::Quiet, &one).is_err());
            assert!(check(When::Over, &one).is_err());
        }
        let nothing = host(|_| {});
        assert_eq!(check(When::Quiet, &nothing), Ok(()));
        assert_eq!(check(When::Over, &nothing), Ok(()));
    }

    #[test]
    fn what_a_session_holds_is_gone_with_it() {
        let holds: [fn(&mut Ledger) -> &mut u64; 2] =
            [|ledger| &mut ledger.queued_control, |ledger| &mut ledger.armed_timers];
        for what in holds {
            let one = host(|books| *what(&mut books.connections) = 1);
            assert_eq!(check(When::Quiet, &one), Ok(()));
            assert!(check(When::Over, &one).is_err());
        }
    }
}
