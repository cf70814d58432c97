//! The end of each session is reported exactly once.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let (removed, reported) = (ledger.sessions.removed, ledger.closes_reported);
        if removed == reported {
            return Ok(());
        }
        Err(format!("{removed} sessions ended, {reported} ends reported"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, host, tally};

    #[test]
    fn an_end_is_reported_neither_never_nor_twice() {
        let reports = |count| {
            host(|ledger| {
                ledger.sessions = tally(3, 2, 1);
                ledger.closes_reported = count;
            })
        };
        for when in ALWAYS {
            assert_eq!(check(when, &reports(2)), Ok(()));
            assert_eq!(
                check(when, &reports(1)),
                Err("agent0: 2 sessions ended, 1 ends reported".into())
            );
            assert_eq!(
                check(when, &reports(3)),
                Err("agent0: 2 sessions ended, 3 ends reported".into())
            );
        }
    }
}
