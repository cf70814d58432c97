use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.errors_logged.first().map_or(Ok(()), |line| Err(line.clone()))
}
