//! No task outlives its owner.

use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |ledger| {
        let (tasks, at_rest) = (ledger.tasks, ledger.tasks_at_rest);
        match when {
            When::Quiet if tasks > at_rest => {
                Err(format!("{tasks} tasks are alive at rest, at most {at_rest} expected"))
            }
            When::Ended if tasks > 0 => Err(format!("{tasks} tasks are alive")),
            _ => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::fixture::host;

    #[test]
    fn at_rest_some_may_live_and_in_the_end_none() {
        let tasks = |tasks| host(|ledger| (ledger.tasks, ledger.tasks_at_rest) = (tasks, 2));
        assert_eq!(check(When::Running, &tasks(3)), Ok(()));
        assert_eq!(check(When::Quiet, &tasks(2)), Ok(()));
        let too_many = "agent0: 3 tasks are alive at rest, at most 2 expected";
        assert_eq!(check(When::Quiet, &tasks(3)), Err(too_many.into()));
        assert_eq!(check(When::Ended, &tasks(0)), Ok(()));
        assert_eq!(check(When::Ended, &tasks(1)), Err("agent0: 1 tasks are alive".into()));
    }
}
