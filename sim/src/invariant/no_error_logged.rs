//! No log line has the level ERROR.

use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.errors_logged.first().map_or(Ok(()), |line| Err(line.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::ALWAYS;

    #[test]
    fn a_line_is_enough() {
        for when in ALWAYS {
            assert_eq!(check(when, &Observed::default()), Ok(()));
            let errors_logged = vec!["it broke".into(), "again".into()];
            let logged = Observed { errors_logged, ..Observed::default() };
            assert_eq!(check(when, &logged), Err("it broke".into()));
        }
    }
}
