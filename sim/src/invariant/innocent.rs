use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| match &books.blamed {
        Some(fault) => Err(format!("found fault with an end that behaves: {fault}")),
        None => Ok(()),
    })
}
