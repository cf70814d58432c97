//! A permitted agent has its session in time, however many unauthenticated sockets there are.

use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.kept_out.first().map_or(Ok(()), |what| Err(what.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::ALWAYS;

    #[test]
    fn an_agent_that_is_kept_out_is_enough() {
        for when in ALWAYS {
            assert_eq!(check(when, &Observed::default()), Ok(()));
            let what = "agent0 has had no session since 3s".to_string();
            let observed = Observed { kept_out: vec![what.clone()], ..Observed::default() };
            assert_eq!(check(when, &observed), Err(what));
        }
    }
}
