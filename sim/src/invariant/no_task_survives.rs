use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    if when != When::Over {
        return Ok(());
    }
    each_host(observed, |books| match books.tasks {
        0 => Ok(()),
        tasks => Err(format!("{tasks} tasks are alive")),
    })
}
