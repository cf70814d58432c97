//! An unauthenticated remote gets no session, and keeps a socket no longer than a handshake may take.

use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.strangers.first().map_or(Ok(()), |what| Err(what.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::ALWAYS;

    #[test]
    fn a_stranger_who_is_let_in_is_enough() {
        for when in ALWAYS {
            assert_eq!(check(when, &Observed::default()), Ok(()));
            let what = "a stranger has a session".to_string();
            let observed = Observed { strangers: vec![what.clone()], ..Observed::default() };
            assert_eq!(check(when, &observed), Err(what));
        }
    }
}
