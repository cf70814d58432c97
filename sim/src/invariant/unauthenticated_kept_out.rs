//! An unauthenticated remote gets no session, and keeps a socket no longer than a handshake may take.

use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.unauthenticated.first().map_or(Ok(()), |what| Err(what.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::ALWAYS;

    #[test]
    fn an_unauthenticated_remote_that_is_let_in_is_enough() {
        for when in ALWAYS {
            assert_eq!(check(when, &Observed::default()), Ok(()));
            let what = "an unauthenticated remote has a session".to_string();
            let observed = Observed { unauthenticated: vec![what.clone()], ..Observed::default() };
            assert_eq!(check(when, &observed), Err(what));
        }
    }
}
