//! After faults heal, open connections end and a new dial succeeds.

use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.stuck.first().map_or(Ok(()), |what| Err(what.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::ALWAYS;

    #[test]
    fn whatever_is_stuck_is_told() {
        for when in ALWAYS {
            assert_eq!(check(when, &Observed::default()), Ok(()));
            let stuck = Observed { stuck: vec!["s1 hangs".into()], ..Observed::default() };
            assert_eq!(check(when, &stuck), Err("s1 hangs".into()));
        }
    }
}
