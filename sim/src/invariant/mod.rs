//! What must hold, one file each.

mod adds_equal_removes;
mod agents_let_in;
mod bytes_intact;
mod close_reasons;
mod closed_once;
mod delivered;
mod dial_deadline;
mod dial_share;
#[cfg(test)]
mod fixture;
mod heap_returns;
mod innocent;
mod memory_bounded;
mod no_error_logged;
mod no_task_survives;
mod nothing_buffered;
mod nothing_kept;
mod progress;
mod sessions_in_step;
mod sockets_closed;
mod unauthenticated_kept_out;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use bytes_intact::fits;

use crate::observed::Observed;

/// When an invariant is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While the schedule runs, again and again.
    Running,
    /// Traffic has stopped, everything is healed, all handles are dropped, and time has passed. The hosts are
    /// still up.
    Quiet,
    /// The hosts have shut down.
    Ended,
}

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $name:ident = $module:ident;)+) => {
        /// Something that must hold.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Invariant {
            $($(#[doc = $doc])+ $name,)+
            /// Nothing panics.
            NoPanic,
        }

        impl Invariant {
            /// Its name in files and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($module),)+
                    Self::NoPanic => "no_panic",
                }
            }
        }

        /// Asks all of them.
        ///
        /// # Errors
        /// The first one that does not hold, and what was seen.
        pub fn check(when: When, observed: &Observed) -> Result<(), (Invariant, String)> {
            $($module::check(when, observed).map_err(|what| (Invariant::$name, what))?;)+
            Ok(())
        }
    };
}

invariants! {
    /// Everything that was added was removed: connections, sessions, routes, on every host.
    AddsEqualRemoves = adds_equal_removes;
    /// An agent that may connect has a session in time, however many unauthenticated remotes there are.
    AgentsLetIn = agents_let_in;
    /// The bytes read are the bytes written, at their offset and on their stream; all of them at a clean end.
    BytesIntact = bytes_intact;
    /// Every end of a session is reported once.
    ClosedOnce = closed_once;
    /// What arrives ahead of a reset, or of the end of a session, is delivered.
    Delivered = delivered;
    /// No dial outlives its deadline.
    DialDeadline = dial_deadline;
    /// A target that does not answer leaves capacity for the dials of others.
    DialShare = dial_share;
    /// The remote of a session that is ended on purpose receives the close reason.
    CloseReasonsArrive = close_reasons;
    /// The heap is as it was: at rest while the hosts are up, and all of it when they have shut down.
    HeapReturns = heap_returns;
    /// Two ends that behave find no fault with each other.
    Innocent = innocent;
    /// Memory stays under its bound at every moment.
    MemoryBounded = memory_bounded;
    /// Nothing is logged as an error.
    NoErrorLogged = no_error_logged;
    /// No task outlives its owner.
    NoTaskSurvives = no_task_survives;
    /// No byte is held when nothing is open, no message and no timer when the session has ended.
    NothingBuffered = nothing_buffered;
    /// No table of the adapter keeps an entry without an owner.
    NothingKept = nothing_kept;
    /// Healed links and hosts work again: open streams end, and a new dial works.
    Progress = progress;
    /// A session that has lost its remote ends in time, and one that has not is up.
    SessionsInStep = sessions_in_step;
    /// No socket outlives its session.
    SocketsClosed = sockets_closed;
    /// An unauthenticated remote has no session, and a socket for no longer than a handshake may take.
    UnauthenticatedKeptOut = unauthenticated_kept_out;
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Asks a question of every host.
fn each_host(
    observed: &Observed,
    ask: impl Fn(&crate::HostLedger) -> Result<(), String>,
) -> Result<(), String> {
    observed
        .hosts
        .iter()
        .try_for_each(|ledger| ask(ledger).map_err(|what| format!("{}: {what}", ledger.host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_that_does_not_hold_is_named() {
        assert_eq!(check(When::Ended, &Observed::default()), Ok(()));
        let stuck = vec!["s1 hangs".to_string()];
        let mut observed = Observed { stuck, ..Observed::default() };
        let first = check(When::Running, &observed);
        assert_eq!(first, Err((Invariant::Progress, "s1 hangs".into())));
        observed.contradictions.push("a byte too many".into());
        let first = check(When::Running, &observed);
        assert_eq!(first, Err((Invariant::BytesIntact, "a byte too many".into())));
    }
}
