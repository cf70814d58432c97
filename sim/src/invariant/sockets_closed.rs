use super::{When, each_host};
use crate::observed::Observed;

pub(super) fn check(when: When, observed: &Observed) -> Result<(), String> {
    each_host(observed, |books| {
        let (sockets, sessions) = (books.sockets, books.sessions.live);
        match when {
            When::Quiet if sockets > sessions => {
                Err(format!("{sockets} sockets are open at rest, for {sessions} sessions"))
            }
            When::Over if sockets > 0 => Err(format!("{sockets} sockets were never closed")),
            _ => Ok(()),
        }
    })
}
