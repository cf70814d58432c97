use std::time::Duration;

use tokio::time::Instant;

use crate::end::End;
use crate::go::{GoEnd, GoFigures};
use crate::pair::Pair;
use crate::processes::Watertight;
use crate::report::{Line, report};
use crate::rest::{Held, PROMPTLY, Rest};

/// How long a Go end is given to let go of a connection or a session by itself: it waits for as
/// long for a dial and for a sign of life.
pub(crate) const GO_MINUTE: Duration = Duration::from_secs(75);

/// How a scenario ends: with both ends at rest, as they were before it.
#[derive(Debug)]
#[must_use = "a scenario ends with `all_is_back`"]
pub(crate) struct Ending<'a> {
    pair: Pair,
    before: &'a Rest,
    within: Duration,
    go_within: Duration,
    excuse: Option<&'static str>,
}

/// What an end says of itself when it is over.
#[derive(Debug)]
pub(crate) enum Said {
    Ours { added: u64, removed: u64 },
    Go { before: GoFigures, after: GoFigures, row: Option<&'static str> },
}

impl Pair {
    /// Ends the scenario. Nothing goes on any more; `before` is what both ends held before.
    pub(crate) fn end(self, before: &Rest) -> Ending<'_> {
        Ending { pair: self, before, within: PROMPTLY, go_within: PROMPTLY, excuse: None }
    }
}

impl Ending<'_> {
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

    /// What a Go end may leave behind here is a flaw of its own, which `row` of `bugs.md` describes.
    pub(crate) const fn unless_go_leaks(mut self, row: &'static str) -> Self {
        self.excuse = Some(row);
        self
    }

    /// Demands that nothing is left of the scenario on either end, ends both, demands that
    /// nothing at all is left of ours, and reports.
    pub(crate) async fn all_is_back(self) {
        let case = self.pair.case();
        let (before, pair) = (self.before, &self.pair);
        // Ours first: theirs may take a minute.
        self.ours_is_back(&pair.server, &before.server, true).await;
        self.ours_is_back(&pair.agent, &before.agent, false).await;
        let server_said = self.go_is_back(&pair.server, &before.server).await;
        let agent_said = self.go_is_back(&pair.agent, &before.agent).await;

        let Pair { server, agent, relay, .. } = self.pair;
        let agent_said = over(agent, agent_said).await;
        let server_said = over(server, server_said).await;
        drop(relay);
        report(&Line { case, server: server_said, agent: agent_said });
    }

    async fn ours_is_back(&self, end: &End, before: &Held, is_server: bool) {
        if end.is_go() {
            return;
        }
        let now = settles(end, is_server, before, self.within).await;
        assert!(now.is_ok(), "not back to {before:?} within {:?}: {now:?}", self.within);
    }

    async fn go_is_back(&self, end: &End, before: &Held) -> Option<Said> {
        let (End::Go(end_of_go), Held::Go(figures)) = (end, before) else { return None };
        let settled = settles(end, false, before, self.go_within).await;
        let excused = settled.is_ok() || self.excuse.is_some();
        assert!(excused, "the Go end leaks, and no row explains it: {before:?}, then {settled:?}");
        let row = self.excuse.filter(|_| settled.is_err());
        let after = match settled {
            Ok(Held::Go(after)) => after,
            _ => end_of_go.figures().await,
        };
        Some(Said::Go { before: *figures, after, row })
    }
}

/// Waits until an end holds no more than before. `Err` is what it holds after `limit`.
async fn settles(
    end: &End,
    is_server: bool,
    before: &Held,
    limit: Duration,
) -> Result<Held, String> {
    let until = Instant::now() + limit;
    loop {
        let now = match Held::by(end, is_server).await {
            Ok(held) if held.is_within(before) => return Ok(held),
            Ok(held) => format!("{held:?}"),
            Err(busy) => busy,
        };
        if Instant::now() > until {
            return Err(now);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn over(end: End, said: Option<Said>) -> Said {
    match (end, said) {
        (End::Ours(end), _) => over_ours(end).await,
        (End::Go(end), Some(said)) => over_go(end, said).await,
        (End::Go(_), None) => unreachable!("a Go end has said something"),
    }
}

async fn over_ours(end: Watertight) -> Said {
    let ended = end.terminate().await;
    ended.is_even();
    Said::Ours { added: ended.ledger.added(), removed: ended.ledger.removed() }
}

async fn over_go(end: GoEnd, said: Said) -> Said {
    end.kill().await;
    said
}
