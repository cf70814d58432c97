//! The exhaustive check of the lifecycle: see [`watertight_fuzz::lifecycle`].
//!
//! `cargo run --profile checked -p watertight-fuzz --bin lifecycle`

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use watertight_core::wire::Dialect;
use watertight_fuzz::lifecycle::{Bounds, Report, explore, missing};

/// Explores every interleaving of two sessions within bounds, and checks all invariants in every
/// state.
#[derive(Debug, Parser)]
struct Args {
    /// The dialect of the two ends; both where it is not given.
    #[arg(long)]
    dialect: Option<Spoken>,
    /// The plan; all of them where it is not given.
    #[arg(long)]
    plan: Option<Plan>,
    /// The longest path.
    #[arg(long)]
    steps: Option<u16>,
    /// Dials, by either end; each holds no more than two connections.
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=2))]
    dials: Option<u8>,
    /// An application that has written so many bytes on a connection writes no more.
    #[arg(long)]
    bytes: Option<u16>,
    /// Messages that a pipe holds.
    #[arg(long)]
    in_flight: Option<usize>,
    /// How often time passes.
    #[arg(long)]
    waits: Option<u8>,
    /// Threads; as many as there are processors where it is not given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    Base,
    Extended,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Plan {
    /// Two connections and everything that can happen, on paths of a bounded length.
    Wide,
    /// Two open connections that compete for what a session holds, on paths of a bounded length.
    Busy,
    /// One connection, a write in each direction and no deadline, on paths of any length.
    Whole,
    /// The same with a deadline that comes at any moment, in a session that continues.
    Timed,
}

/// The fewest states that the plans of a dialect have, added up, unless less is asked for.
const FLOOR: usize = 10_000_000;

fn main() -> ExitCode {
    let args = Args::parse();
    let spoken = args.dialect.map_or(Spoken::value_variants().to_vec(), |spoken| vec![spoken]);
    if spoken.into_iter().all(|spoken| check(&args, spoken)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Explores the plans of a dialect and prints the results; whether everything holds.
fn check(args: &Args, spoken: Spoken) -> bool {
    let plans = args.plan.map_or(Plan::value_variants().to_vec(), |plan| vec![plan]);
    let began = Instant::now();
    let (mut states, mut reached) = (0, BTreeSet::new());
    for plan in plans {
        let Some(mut report) = explored(args, spoken, plan) else { return false };
        states += report.progress.states;
        reached.append(&mut report.reached);
    }
    println!("{spoken:?}: {states} states in all plans, {:.1} s\n", began.elapsed().as_secs_f64());
    args.is_less() || is_enough(spoken, states, &reached)
}

/// An exploration, if everything holds in it.
fn explored(args: &Args, spoken: Spoken, plan: Plan) -> Option<Report> {
    let bounds = bounds(args, spoken, plan);
    println!("{plan:?}: {bounds:?}");
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok());
    let threads = threads.map_or(1, NonZeroUsize::get);
    match explore(&bounds, threads, |level| println!("{level}")) {
        Ok(report) => {
            println!("{report}");
            Some(report)
        }
        Err(broken) => {
            println!("{broken}");
            None
        }
    }
}

/// An exploration that has become small proves little.
fn is_enough(spoken: Spoken, states: usize, reached: &BTreeSet<String>) -> bool {
    let missing = missing(spoken.dialect(), reached);
    if !missing.is_empty() {
        println!("not reached: {}", missing.join(", "));
    }
    if states < FLOOR {
        println!("these are less than {FLOOR}");
    }
    missing.is_empty() && states >= FLOOR
}

impl Args {
    /// Whether less than everything may have been asked for.
    const fn is_less(&self) -> bool {
        self.plan.is_some()
            || self.steps.is_some()
            || self.dials.is_some()
            || self.bytes.is_some()
            || self.in_flight.is_some()
            || self.waits.is_some()
    }
}

impl Spoken {
    const fn dialect(self) -> Dialect {
        match self {
            Self::Base => Dialect::Base,
            Self::Extended => Dialect::Extended,
        }
    }
}

fn bounds(args: &Args, spoken: Spoken, plan: Plan) -> Bounds {
    let dialect = spoken.dialect();
    let bounds = match plan {
        Plan::Wide => Bounds::wide(dialect),
        Plan::Busy => Bounds::busy(dialect),
        Plan::Whole => Bounds::whole(dialect),
        Plan::Timed => Bounds::timed(dialect),
    };
    Bounds {
        steps: args.steps.unwrap_or(bounds.steps),
        dials: args.dials.unwrap_or(bounds.dials),
        bytes: args.bytes.unwrap_or(bounds.bytes),
        in_flight: args.in_flight.unwrap_or(bounds.in_flight),
        waits: args.waits.unwrap_or(bounds.waits),
        ..bounds
    }
}
