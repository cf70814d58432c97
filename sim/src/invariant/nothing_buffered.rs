//! Buffers are empty without connections; messages and timers end with their session.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let held = match when {
            When::Running => return Ok(()),
            When::Quiet => !ledger.connections.is_quiet(),
            When::Ended => !ledger.connections.is_settled(),
        };
        if held { Err(ledger.connections.to_string()) } else { Ok(()) }
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
            |ledger| &mut ledger.outbound_dials,
            |ledger| &mut ledger.inbound_dials,
            |ledger| &mut ledger.bytes_to_send,
            |ledger| &mut ledger.bytes_received,
        ];
        for what in holds {
            let one = host(|ledger| *what(&mut ledger.connections) = 1);
            assert_eq!(check(When::Running, &one), Ok(()));
            assert!(check(When::Quiet, &one).is_err());
            assert!(check(When::Ended, &one).is_err());
        }
        let nothing = host(|_| {});
        assert_eq!(check(When::Quiet, &nothing), Ok(()));
        assert_eq!(check(When::Ended, &nothing), Ok(()));
    }

    #[test]
    fn what_a_session_holds_is_gone_with_it() {
        let holds: [fn(&mut Ledger) -> &mut u64; 2] =
            [|ledger| &mut ledger.queued_control, |ledger| &mut ledger.armed_timers];
        for what in holds {
            let one = host(|ledger| *what(&mut ledger.connections) = 1);
            assert_eq!(check(When::Quiet, &one), Ok(()));
            assert!(check(When::Ended, &one).is_err());
        }
    }
}
