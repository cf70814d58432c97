//! The end of a scenario: every process at rest, every ledger balanced, except for known flaws of Go ends.

use std::time::Duration;

use tokio::sync::SemaphorePermit;

use crate::builder::PairBuilder;
use crate::end::End;
use crate::go::GoFigures;
use crate::pair::{Case, Pair};
use crate::relay::Relay;
use crate::report::report;
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
pub(crate) struct Ending<'a> {
    case: Case,
    ends: Vec<(&'static str, End)>,
    /// What the ends need until they have ended.
    _path: Option<(Relay, PairBuilder, Option<SemaphorePermit<'static>>)>,
    before: &'a Rest,
    within: Duration,
    go_within: Duration,
    excuse: Option<&'static str>,
}

/// What an end says of itself when it is over.
#[derive(Debug)]
pub(crate) enum Said {
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
    /// Ends the scenario. Nothing goes on any more; `before` is what they held before.
    pub(crate) fn end(self, before: &Rest) -> Ending<'_> {
        let case = self.case();
        let names: Vec<_> = self.ends().into_iter().map(|(name, _)| name).collect();
        let Self { server, peer, agent, relay, builder, _turn } = self;
        let ends = [agent].into_iter().chain(peer).chain([server]);
        let ends = names.into_iter().zip(ends).collect();
        Ending { _path: Some((relay, builder, _turn)), ..Ending::of(case, ends, before) }
    }
}

impl<'a> Ending<'a> {
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

    /// Cleaning up has to wait for deadlines of a Go end, which are longer than ours.
    pub(crate) const fn go_within(mut self, limit: Duration) -> Self {
        self.go_within = limit;
        self
    }

    /// What a Go end may leave behind here is a flaw of its own, which `row` of `bugs.md` describes:
    /// a few goroutines, of which its counters say nothing.
    pub(crate) const fn unless_go_leaks(mut self, row: &'static str) -> Self {
        self.excuse = Some(row);
        self
    }

    /// Demands that nothing is left of the scenario on either end, ends both, demands that
    /// nothing at all is left of ours, and reports.
    pub(crate) async fn all_is_back(self) {
        let ends: Vec<_> = self.ends.iter().zip(&self.before.0).collect();
        // Ours first: theirs may take a minute.
        for ((name, end), before) in ends.iter().filter(|((_, end), _)| !end.is_go()) {
            let now = before.is_back(end, self.within).await;
            assert!(now.is_ok(), "{name} not back to {before:?} in {:?}: {now:?}", self.within);
        }
        let mut said = Vec::new();
        for ((_, end), before) in &ends {
            said.push(self.go_is_back(end, before).await);
        }
        let mut lines = Vec::new();
        for (((name, end), said), before) in self.ends.into_iter().zip(said).zip(&self.before.0) {
            lines.push((name, over(end, before, said).await));
        }
        report(self.case, &lines);
    }

    async fn go_is_back(&self, end: &End, before: &Held) -> Option<Said> {
        let (End::Go(end_of_go), Held::Go(figures)) = (end, before) else { return None };
        let settled = before.is_back(end, self.go_within).await;
        let after = end_of_go.figures().await;
        let Err(left) = settled else {
            return Some(Said::Go { before: *figures, after, row: None });
        };
        assert!(self.excuse.is_some(), "a leak that no row explains: {before:?}, then {left}");
        let few = after.goroutines <= figures.goroutines + ASLEEP;
        assert!(after.open() == 0 && few, "more than {:?}: {before:?}, {after:?}", self.excuse);
        Some(Said::Go { before: *figures, after, row: self.excuse })
    }
}

/// Ends an end, and demands that nothing is left of one of ours.
async fn over(end: End, before: &Held, said: Option<Said>) -> Said {
    let growth = before.growth(&end);
    match end {
        End::Ours(end) => {
            let ended = end.terminate().await;
            ended.is_settled();
            Said::Ours { added: ended.ledger.added(), removed: ended.ledger.removed(), growth }
        }
        End::Go(end) => {
            end.kill().await;
            said.unwrap()
        }
    }
}
