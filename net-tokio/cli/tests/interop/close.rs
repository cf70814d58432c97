//! The end of a scenario: every process at rest, every ledger settled, except for known flaws of Go ends;
//! and the table of results that CI prints and counts.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::sync::SemaphorePermit;

use crate::end::End;
use crate::go::GoFigures;
use crate::pair::{Case, Pair, PairBuilder};
use crate::relay::Relay;
use crate::rest::{Held, PROMPTLY, Rest};

/// How long a Go end is given to let go of a connection or a session by itself: it waits for as
/// long for a dial and for a sign of life.
pub(crate) const GO_MINUTE: Duration = Duration::from_secs(75);

/// How many goroutines a scenario may leave asleep on a Go end where a flaw of that excuses it: one
/// for the client and one for the target that stopped, and what waits for them.
const ASLEEP: u64 = 3;

/// How a scenario ends: with all ends at rest, as they were before it.
#[derive(Debug)]
#[must_use = "a scenario ends with `all_is_back`"]
pub(crate) struct Close<'a> {
    case: Case,
    ends: Vec<(&'static str, End)>,
    /// The path and the settings, which the ends need until they have ended.
    _path: Option<(Relay, PairBuilder, Option<SemaphorePermit<'static>>)>,
    before: &'a Rest,
    within: Duration,
    go_within: Duration,
    excuse: Option<&'static str>,
}

/// The final counters of an end.
#[derive(Debug)]
pub(crate) enum EndReport {
    Ours {
        added: u64,
        removed: u64,
        /// Bytes of memory that it keeps.
        growth: u64,
    },
    Go {
        before: GoFigures,
        after: GoFigures,
        row: Option<&'static str>,
    },
}

impl Pair {
    /// Ends the scenario, which has no traffic any more; `before` is what the ends held before.
    pub(crate) fn end(self, before: &Rest) -> Close<'_> {
        let case = self.case();
        let names: Vec<_> = self.ends().into_iter().map(|(name, _)| name).collect();
        let Self { server, peer, agent, relay, builder, _turn } = self;
        let ends = [agent].into_iter().chain(peer).chain([server]);
        let ends = names.into_iter().zip(ends).collect();
        Close { _path: Some((relay, builder, _turn)), ..Close::of(case, ends, before) }
    }
}

impl<'a> Close<'a> {
    /// The end of a scenario of these ends, with names for the report, which end in this order.
    pub(crate) const fn of(case: Case, ends: Vec<(&'static str, End)>, before: &'a Rest) -> Self {
        let (within, go_within) = (PROMPTLY, PROMPTLY);
        Self { case, ends, _path: None, before, within, go_within, excuse: None }
    }

    /// Cleaning up has to wait for deadlines.
    pub(crate) const fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Cleaning up has to wait for deadlines of a Go end, which are longer.
    pub(crate) const fn go_within(mut self, limit: Duration) -> Self {
        self.go_within = limit;
        self
    }

    /// A Go end may leave a few goroutines behind here, which its counters do not count: a flaw of its
    /// own, which `row` of `bugs.md` describes.
    pub(crate) const fn unless_go_leaks(mut self, row: &'static str) -> Self {
        self.excuse = Some(row);
        self
    }

    /// Demands that nothing is left of the scenario on either end, ends both, demands that
    /// nothing at all is left of the watertight ends, and reports.
    pub(crate) async fn all_is_back(self) {
        let ends: Vec<_> = self.ends.iter().zip(&self.before.0).collect();
        // The watertight ends first: Go ends may take a minute.
        for ((name, end), before) in ends.iter().filter(|((_, end), _)| !end.is_go()) {
            let now = before.is_back(end, self.within).await;
            assert!(now.is_ok(), "{name} not back to {before:?} in {:?}: {now:?}", self.within);
        }
        let mut reports = Vec::new();
        for ((_, end), before) in &ends {
            reports.push(self.go_is_back(end, before).await);
        }
        let mut lines = Vec::new();
        for (((name, end), report), before) in
            self.ends.into_iter().zip(reports).zip(&self.before.0)
        {
            lines.push((name, stop_end(end, before, report).await));
        }
        print_report(self.case, &lines);
    }

    async fn go_is_back(&self, end: &End, before: &Held) -> Option<EndReport> {
        let (End::Go(end_of_go), Held::Go(figures)) = (end, before) else { return None };
        let settled = before.is_back(end, self.go_within).await;
        let after = end_of_go.figures().await;
        let Err(left) = settled else {
            return Some(EndReport::Go { before: *figures, after, row: None });
        };
        assert!(self.excuse.is_some(), "a leak that no row explains: {before:?}, then {left}");
        let few = after.goroutines <= figures.goroutines + ASLEEP;
        assert!(after.are_settled() && few, "more than {:?}: {before:?}, {after:?}", self.excuse);
        Some(EndReport::Go { before: *figures, after, row: self.excuse })
    }
}

/// Ends an end, and demands that nothing is left of a watertight one.
async fn stop_end(end: End, before: &Held, report: Option<EndReport>) -> EndReport {
    let growth = before.growth(&end);
    match end {
        End::Ours(end) => {
            let ended = end.terminate().await;
            ended.is_settled();
            EndReport::Ours { added: ended.ledger.added(), removed: ended.ledger.removed(), growth }
        }
        End::Go(end) => {
            end.kill().await;
            report.unwrap()
        }
    }
}

/// Prints the report of a scenario, and adds it to the table of this run, which CI shows and
/// counts.
fn print_report(case: Case, ends: &[(&str, EndReport)]) {
    let name = format!("{}::{}", case.kind.name(), case.scenario);
    let ends: Vec<_> = ends.iter().map(|(role, report)| format!("{role}: {report}")).collect();
    let line = format!("{name:54} {}\n", ends.join("; "));
    print!("{line}");
    let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop.txt");
    let mut table = OpenOptions::new().append(true).create(true).open(table).unwrap();
    // One write: other tests write, too.
    table.write_all(line.as_bytes()).unwrap();
}

impl fmt::Display for EndReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours { added, removed, growth } => {
                let mib = growth.div_ceil(1 << 20);
                write!(f, "ours, added {added} removed {removed}, even, {mib} MiB kept")
            }
            Self::Go { before, after, row } => {
                let (added, removed) = (after.added, after.removed);
                let (then, now) = (before.goroutines, after.goroutines);
                write!(f, "Go, added {added} removed {removed}, goroutines {then} to {now}")?;
                if after.counted_twice() > 0 {
                    write!(f, ", counts twice: R21")?;
                }
                match row {
                    Some(row) => write!(f, ", leaks: {row}"),
                    None => Ok(()),
                }
            }
        }
    }
}
