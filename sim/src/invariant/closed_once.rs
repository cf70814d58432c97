use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(_: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let (removed, reported) = (books.sessions.removed, books.closes_reported);
        if removed == reported {
            return Ok(());
        }
        Err(format!("{removed} sessions ended, {reported} ends reported"))
    })
}
