//! Runs every load on every contender, round by round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::contender::Contender;
use crate::contender::programs::Programs;
use crate::load::{Bench, Load, Measured, Trouble};
use crate::part::Part;
use crate::results::{Results, Sample};
use crate::service::Swallowed;

/// Memory does not vary from round to round, and takes long to fill.
pub(crate) const ROUNDS_OF_MEMORY: usize = 3;

/// The contenders and the loads.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) contenders: Vec<Contender>,
    pub(crate) loads: Vec<Load>,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    /// Another build of watertight.
    pub(crate) before: Option<PathBuf>,
}

/// A running comparison.
struct Comparison {
    service: SocketAddr,
    swallowed: Swallowed,
    programs: Programs,
    window: Duration,
}

/// Runs all loads, each on one contender after the other, so that what the machine does meanwhile
/// strikes them alike. What there is so far is kept after each round.
pub(crate) async fn run(plan: &Plan, keep: impl Fn(&Results) -> Result<()>) -> Result<()> {
    let service = Part::own(&["service"])?;
    let at = service.line("at ")?.parse()?;
    let comparison = Comparison {
        service: at,
        swallowed: Swallowed::of(at).await?,
        programs: Programs::new(plan.before.clone()),
        window: plan.window,
    };
    let cores = std::thread::available_parallelism()?.get();
    let mut results = Results { rounds: 0, window: plan.window, cores, samples: Vec::new() };
    for round in 0..plan.rounds {
        for &load in &plan.loads {
            if load.is_about_memory() && round >= ROUNDS_OF_MEMORY {
                continue;
            }
            // Nobody is always the first.
            let mut contenders = plan.contenders.clone();
            contenders.rotate_left(round % plan.contenders.len().max(1));
            for contender in contenders {
                let outcome = comparison.sample(contender, load).await;
                print_outcome(round, contender, load, &outcome);
                results.samples.push(Sample { round, contender, load, outcome });
            }
        }
        results.rounds = round + 1;
        keep(&results)?;
    }
    Ok(())
}

fn print_outcome(
    round: usize,
    contender: Contender,
    load: Load,
    outcome: &std::result::Result<Measured, Trouble>,
) {
    eprint!("round {}: {load}: {contender}:", round + 1);
    match outcome {
        Ok(measured) => {
            measured.iter().for_each(|(metric, value)| eprint!(" {value:.3} {metric};"))
        }
        Err(trouble) => eprint!(" {trouble:?}"),
    }
    eprintln!();
}

impl Comparison {
    /// Each load has processes of its own: what an earlier one left behind, in them or in what the
    /// kernel remembers of their sockets, is no part of it.
    async fn sample(
        &self,
        contender: Contender,
        load: Load,
    ) -> std::result::Result<Measured, Trouble> {
        let route = contender.start(self.service, &self.programs).await?;
        route.settle().await?;
        let bench = Bench { route: &route, swallowed: &self.swallowed, window: self.window };
        load.run(bench).await
    }
}
