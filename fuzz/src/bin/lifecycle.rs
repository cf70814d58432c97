//! The exhaustive check of the lifecycle: see [`watertight_fuzz::lifecycle`].
//!
//! `cargo run --profile checked -p watertight-fuzz --bin lifecycle`

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use watertight_core::wire::Dialect;
use watertight_fuzz::lifecycle::{Bounds, explore};

/// Explores every interleaving of two sessions within bounds, and checks all invariants in every
/// state.
#[derive(Debug, Parser)]
struct Args {
    /// What the two ends speak; both dialects where it is not given.
    #[arg(long)]
    dialect: Option<Spoken>,
    /// What is explored; all of these where it is not given.
    #[arg(long)]
    plan: Option<Plan>,
    /// The longest path.
    #[arg(long)]
    steps: Option<u16>,
    /// Dials, by either end.
    #[arg(long)]
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
    /// One connection, a write in each direction and no deadline, on paths of any length.
    Whole,
    /// The same with a deadline that comes at any moment, in a session that goes on.
    Timed,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let spoken = args.dialect.map_or(Spoken::value_variants().to_vec(), |spoken| vec![spoken]);
    let plans = args.plan.map_or(Plan::value_variants().to_vec(), |plan| vec![plan]);
    let mut all = spoken.iter().flat_map(|spoken| plans.iter().map(|plan| (*spoken, *plan)));
    if all.all(|(spoken, plan)| check(&args, spoken, plan)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Explores, prints what there is to tell, and says whether everything holds.
fn check(args: &Args, spoken: Spoken, plan: Plan) -> bool {
    let bounds = bounds(args, spoken, plan);
    println!("{plan:?}: {bounds:?}");
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok());
    let threads = threads.map_or(1, NonZeroUsize::get);
    match explore(&bounds, threads, |level| println!("{level}")) {
        Ok(report) => println!("{report}"),
        Err(broken) => {
            println!("{broken}");
            return false;
        }
    }
    true
}

fn bounds(args: &Args, spoken: Spoken, plan: Plan) -> Bounds {
    let dialect = match spoken {
        Spoken::Base => Dialect::Base,
        Spoken::Extended => Dialect::Extended,
    };
    let bounds = match plan {
        Plan::Wide => Bounds::wide(dialect),
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
