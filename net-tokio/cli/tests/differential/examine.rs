//! The examination of a conversation: directly, to learn which outcomes are legal, and through each
//! route.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use futures_util::future::join_all;

use crate::conversation::Conversation;
use crate::deviation::{Deviation, judge, not_played};
use crate::outcome::{Outcome, Run};
use crate::play::play;
use crate::report::Report;
use crate::route::Route;
use crate::socket::Family;
use crate::timing::Timing;
use crate::world::World;

/// How much is done for a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Direct runs before the routes are played.
    pub(crate) direct: u64,
    /// Runs of each route.
    pub(crate) runs: u64,
    /// Direct runs after which an outcome that none has shown is a difference.
    pub(crate) most_direct: u64,
    /// Whether the conversation is a smaller one of a failure. Time limits are short then.
    pub(crate) shrinking: bool,
}

/// Runs at a time.
const BATCH: u64 = 20;

/// An outcome that no direct connection shows.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) route: &'static str,
    /// As it was played.
    pub(crate) conversation: Conversation,
    pub(crate) observed: Outcome,
    /// The same in numbers.
    pub(crate) run: Run,
    pub(crate) violation: Option<String>,
    pub(crate) direct: BTreeSet<Outcome>,
    pub(crate) direct_runs: u64,
    /// Runs of the route with an illegal outcome, and all of them.
    pub(crate) runs: [u64; 2],
}

/// The outcomes that direct connections have shown.
struct Direct<'a> {
    routes: Vec<&'a Route>,
    conversation: Conversation,
    families: [Family; 2],
    outcomes: BTreeSet<Outcome>,
    runs: u64,
}

impl<'a> Direct<'a> {
    /// For routes between sockets of these families. Where one is of Unix sockets, TCP and Unix sockets
    /// both are direct connections.
    fn new(
        world: &'a World,
        conversation: &Conversation,
        families: [Family; 2],
        report: &Report,
    ) -> Self {
        let routes = match families {
            [Family::Tcp, Family::Tcp] => vec![&world.direct],
            _ => vec![&world.direct, &world.direct_unix],
        };
        let played = conversation.on(families);
        if played != *conversation {
            report.deviates(Deviation::UnixReset);
        }
        Self { routes, conversation: played, families, outcomes: BTreeSet::new(), runs: 0 }
    }

    async fn extend(&mut self, runs: u64, effort: Effort, report: &Report) {
        for route in &self.routes {
            let plays = (self.runs..self.runs + runs)
                .map(|run| play_on(route, &self.conversation, run, effort, report));
            for run in join_all(plays).await {
                let outcome = run.outcome(&self.conversation);
                let violation = run.violation(route.families);
                assert!(violation.is_none(), "directly: {}: {violation:?}", self.conversation);
                assert!(!outcome.is_stuck(), "directly: {}: {outcome}", self.conversation);
                self.outcomes.insert(outcome.seen_by(self.families));
            }
        }
        self.runs += runs;
    }
}

/// Plays the conversation everywhere on `routes`.
pub(crate) async fn examine(
    world: &World,
    routes: &[&Route],
    conversation: &Conversation,
    effort: Effort,
    report: &Report,
) -> Vec<Difference> {
    let mut groups = Vec::<(Direct<'_>, Vec<&Route>)>::new();
    for route in routes {
        match groups.iter_mut().find(|(direct, _)| direct.families == route.families) {
            Some((_, routes)) => routes.push(route),
            None => {
                groups.push((Direct::new(world, conversation, route.families, report), vec![route]))
            }
        }
    }
    let mut differences = Vec::new();
    for (direct, routes) in &mut groups {
        direct.extend(effort.direct, effort, report).await;
        let plays = routes.iter().map(|route| run_way(route, &direct.conversation, effort, report));
        for (route, runs) in routes.iter().zip(join_all(plays).await) {
            differences.extend(compare(route, direct, &runs, effort, report).await);
        }
    }
    differences
}

/// Runs of the route; none if it does not play the conversation.
async fn run_way(
    route: &Route,
    conversation: &Conversation,
    effort: Effort,
    report: &Report,
) -> Vec<Run> {
    if let Some(deviation) = not_played(route, conversation) {
        report.deviates(deviation);
        return Vec::new();
    }
    if conversation.early && !route.can_retire_lanes() {
        return Vec::new();
    }
    // The first run of most is an eager one: it has the narrowest races.
    let runs = (0..effort.runs).map(|run| play_on(route, conversation, run, effort, report));
    join_all(runs).await
}

async fn play_on(
    route: &Route,
    conversation: &Conversation,
    run: u64,
    effort: Effort,
    report: &Report,
) -> Run {
    let taken = route.lane().await;
    let timing = Timing::of_run(run);
    let timing = if effort.shrinking { timing.shrinking() } else { timing };
    let started = Instant::now();
    let run = play(conversation, taken.lane(), timing).await;
    report.played(route.name, started.elapsed(), conversation);
    if run.target.absent {
        taken.retire();
    }
    run
}

/// The worst difference of the route's runs. More direct runs are made before it is one.
async fn compare(
    route: &Route,
    direct: &mut Direct<'_>,
    runs: &[Run],
    effort: Effort,
    report: &Report,
) -> Option<Difference> {
    let mut difference = None::<Difference>;
    for run in runs {
        let outcome = run.outcome(&direct.conversation).seen_by(route.families);
        // remotedialer's own program truncates; see the deviations.
        let violation = run.violation(route.families).filter(|_| !route.is_go);
        let legal = loop {
            let verdict = judge(route, &direct.conversation, &outcome, direct.outcomes.iter());
            if verdict.is_ok() || direct.runs >= effort.most_direct {
                break verdict;
            }
            direct.extend(BATCH, effort, report).await;
        };
        match legal {
            Ok(deviation) if violation.is_none() => {
                deviation.into_iter().for_each(|deviation| report.deviates(deviation));
            }
            _ => {
                let found = difference.get_or_insert_with(|| Difference {
                    route: route.name,
                    conversation: direct.conversation.clone(),
                    observed: outcome,
                    run: *run,
                    violation,
                    direct: BTreeSet::new(),
                    direct_runs: 0,
                    runs: [0, runs.len() as u64],
                });
                found.runs[0] += 1;
                found.direct.clone_from(&direct.outcomes);
                found.direct_runs = direct.runs;
            }
        }
    }
    difference
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [differ, runs] = self.runs;
        writeln!(f, "{}  ({}, {differ} of {runs} runs)", self.conversation, self.route)?;
        writeln!(f, "    observed    {}", self.observed)?;
        writeln!(f, "    bytes   {}", self.run)?;
        if let Some(violation) = &self.violation {
            writeln!(f, "    wrong   {violation}")?;
        }
        for outcome in &self.direct {
            writeln!(f, "    direct  {outcome}")?;
        }
        writeln!(f, "    after {} direct runs; again with", self.direct_runs)?;
        write!(
            f,
            "    DIFFERENTIAL_CONVERSATION='{}' DIFFERENTIAL_WAYS={} cargo test -p watertight-cli \
             --test differential replay -- --ignored --nocapture",
            self.conversation, self.route
        )
    }
}
