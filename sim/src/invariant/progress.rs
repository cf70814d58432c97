use super::When;
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    observed.stuck.first().map_or(Ok(()), |what| Err(what.clone()))
}
