//! Observations for the tests of the invariants.

use std::time::Duration;

use super::When;
use crate::observed::{Bounds, Counts, DialOutcome, HostLedger, Observed, StreamEnd, StreamRecord};
use crate::schedule::{Host, StreamId};

pub(super) const ALWAYS: [When; 3] = [When::Running, When::Quiet, When::Ended];

/// A world of one host.
pub(super) fn host(edit: impl FnOnce(&mut HostLedger)) -> Observed {
    let mut ledger = HostLedger::new(Host::Agent(0), Bounds::default());
    edit(&mut ledger);
    Observed { hosts: vec![ledger], ..Observed::default() }
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

pub(super) const fn tally(added: u64, removed: u64, live: u64) -> Counts {
    Counts { added, removed, live }
}
