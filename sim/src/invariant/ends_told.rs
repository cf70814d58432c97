//! A session that one side ends reports the reason at the remote.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| match &books.untold {
        Some(end) => Err(format!("nobody said why a session ended: {end}")),
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
            let untold = host(|books| books.untold = Some("transport ended".into()));
            let what = "agent0: nobody said why a session ended: transport ended";
            assert_eq!(check(when, &untold), Err(what.into()));
        }
    }
}
