//! What the tests of the invariants show them.

use std::time::Duration;

use super::When;
use crate::observed::{Bounds, DialOutcome, HostBooks, Observed, StreamEnd, StreamRecord, Tally};
use crate::schedule::{Host, StreamId};

pub(super) const ALWAYS: [When; 3] = [When::Running, When::Quiet, When::Over];

/// A world of one host.
pub(super) fn host(edit: impl FnOnce(&mut HostBooks)) -> Observed {
    let mut books = HostBooks::new(Host::Agent(0), Bounds::default());
    edit(&mut books);
    Observed { hosts: vec![books], ..Observed::default() }
}

/// A world of one stream, whose dial has until 100 ms.
pub(super) fn stream(edit: impl FnOnce(&mut StreamRecord)) -> Observed {
    let mut record = StreamRecord {
        stream: StreamId(1),
        deadline: Duration::from_millis(100),
        settled: None,
        dial: DialOutcome::Opened,
        near: StreamEnd::default(),
        far: None,
        honest: true,
        half_closes: true,
    };
    edit(&mut record);
    Observed { streams: vec![record], ..Observed::default() }
}

pub(super) const fn tally(added: u64, removed: u64, live: u64) -> Tally {
    Tally { added, removed, live }
}
