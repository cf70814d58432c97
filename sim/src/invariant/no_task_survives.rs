use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let (tasks, at_rest) = (books.tasks, books.tasks_at_rest);
        match when {
            When::Quiet if tasks > at_rest => {
                Err(format!("{tasks} tasks are alive at rest, at most {at_rest} expected"))
            }
            When::Over if tasks > 0 => Err(format!("{tasks} tasks are alive")),
            _ => Ok(()),
        }
    })
}
