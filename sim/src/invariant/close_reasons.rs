//! A session that one side ends reports the reason at the remote.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| match &ledger.without_reason {
        Some(end) => Err(format!("a session ended without a close reason: {end}")),
        None => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, host};

    #[test]
    fn whoever_ends_a_session_says_why() {
        for when in ALWAYS {
            assert_eq!(check(when, &host(|_| {})), Ok(()));
            let without_reason =
                host(|ledger| ledger.without_reason = Some("transport ended".into()));
            let what = "agent0: a session ended without a close reason: transport ended";
            assert_eq!(check(when, &without_reason), Err(what.into()));
        }
    }
}
