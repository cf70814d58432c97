//! Heap usage returns to its level at rest, and to zero with the hosts.

use super::When;
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    let (heap, at_rest) = (observed.heap, observed.heap_at_rest);
    match when {
        When::Quiet if heap > at_rest => {
            Err(format!("{heap} bytes of heap are held at rest, at most {at_rest} expected"))
        }
        When::Ended if heap > 0 => Err(format!("{heap} bytes of heap were never given back")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_rest_some_may_be_held_and_in_the_end_none() {
        let holds = |heap| Observed { heap, heap_at_rest: 10, ..Observed::default() };
        assert_eq!(check(When::Running, &holds(11)), Ok(()));
        assert_eq!(check(When::Quiet, &holds(10)), Ok(()));
        let too_much = "11 bytes of heap are held at rest, at most 10 expected";
        assert_eq!(check(When::Quiet, &holds(11)), Err(too_much.into()));
        assert_eq!(check(When::Ended, &holds(0)), Ok(()));
        assert_eq!(
            check(When::Ended, &holds(1)),
            Err("1 bytes of heap were never given back".into())
        );
    }
}
