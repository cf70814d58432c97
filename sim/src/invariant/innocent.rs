//! Two conforming ends never accuse each other of misbehaviour.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| match &ledger.blamed {
        Some(fault) => Err(format!("found fault with an end that behaves: {fault}")),
        None => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::{ALWAYS, host};

    #[test]
    fn nobody_is_blamed() {
        for when in ALWAYS {
            assert_eq!(check(when, &host(|_| {})), Ok(()));
            let blamed = host(|ledger| ledger.blamed = Some("too much credit".into()));
            let what = "agent0: found fault with an end that behaves: too much credit";
            assert_eq!(check(when, &blamed), Err(what.into()));
        }
    }
}
