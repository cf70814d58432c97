use super::When;
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    let (heap, at_rest) = (observed.heap, observed.heap_at_rest);
    match when {
        When::Quiet if heap > at_rest => {
            Err(format!("{heap} bytes of heap are held at rest, at most {at_rest} expected"))
        }
        When::Over if heap > 0 => Err(format!("{heap} bytes of heap were never given back")),
        _ => Ok(()),
    }
}
