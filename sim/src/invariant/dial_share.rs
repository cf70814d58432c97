//! A target that never answers leaves the dials of other targets their share.

use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.without_share.first().map_or(Ok(()), |what| Err(what.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::ALWAYS;

    #[test]
    fn nobody_is_crowded_out() {
        let what = "s1 is refused for 30 dials of a target that hangs";
        let without_share = Observed { without_share: vec![what.into()], ..Observed::default() };
        for when in ALWAYS {
            assert_eq!(check(when, &Observed::default()), Ok(()));
            assert_eq!(check(when, &without_share), Err(what.into()));
        }
    }
}
