//! The situations reached: a search that reaches nothing proves nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use watertight_core::testkit::{Endpoint, Handle};
use watertight_core::{Cause, SessionEnd};

/// The ends of sessions, and what else there is to reach, after two bits for each cause.
const OTHERS: [&str; 12] = [
    "session closed",
    "session drained",
    "session closed by the remote",
    "session lost",
    "session silent",
    "session stalled",
    "opened",
    "a blocked writer",
    "a blocked reader",
    "a complete transfer",
    "two open connections",
    "two blocked writers",
];

/// The situations that some state was in.
#[derive(Debug, Default)]
pub(super) struct Situations(AtomicU64);

impl Situations {
    pub(super) fn note(&self, end: &Endpoint) {
        let handles = end.app.iter().map(|(_, handle)| of_handle(handle));
        let bits = handles.fold(of_session(end) | of_two(end), |bits, more| bits | more);
        // Most of them are known, and a look costs the other threads nothing.
        if bits & !self.0.load(Ordering::Relaxed) != 0 {
            self.0.fetch_or(bits, Ordering::Relaxed);
        }
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        let bits = self.0.load(Ordering::Relaxed);
        let causes = Cause::ALL
            .into_iter()
            .flat_map(|cause| ["cut", "complete"].map(|how| format!("{cause} {how}")));
        let names = causes.chain(OTHERS.map(ToString::to_string)).enumerate();
        names.filter(|(place, _)| bits & 1 << place != 0).map(|(_, name)| name).collect()
    }
}

fn of_handle(handle: &Handle) -> u64 {
    let retired = handle.retired.map_or(0, |end| {
        let cause = Cause::ALL.iter().position(|cause| *cause == end.cause).unwrap_or(0);
        1 << (2 * cause + usize::from(end.complete))
    });
    let transfer = handle.read > 0 && handle.retired.is_some_and(|end| end.complete);
    retired
        | other("opened", handle.opened)
        | other("a blocked writer", handle.write_blocked)
        | other("a blocked reader", handle.read_blocked)
        | other("a complete transfer", transfer)
}

fn of_two(end: &Endpoint) -> u64 {
    let are_two =
        |is: fn(&Handle) -> bool| end.app.held().filter(|(_, handle)| is(handle)).count() > 1;
    other("two open connections", are_two(|handle| handle.opened))
        | other("two blocked writers", are_two(|handle| handle.write_blocked))
}

fn of_session(end: &Endpoint) -> u64 {
    let Some(end) = end.session.ended() else { return 0 };
    let name = match end {
        SessionEnd::Closed { .. } => "session closed",
        SessionEnd::Drained => "session drained",
        SessionEnd::RemoteClosed { .. } => "session closed by the remote",
        SessionEnd::Silent(_) => "session silent",
        SessionEnd::Stalled(_) => "session stalled",
        _ => "session lost",
    };
    other(name, true)
}

fn other(name: &str, is: bool) -> u64 {
    let place = OTHERS.iter().position(|other| *other == name).unwrap_or(0);
    u64::from(is) << (2 * Cause::ALL.len() + place)
}
