//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use watertight_sim::World;
use watertight_sim::campaign::Shard;

use crate::play::{Played, seeded_bug_name};
use crate::subject::FirstSeed;

/// The most schedules of a run: none of its seeds is too large a number then.
const MOST: u64 = 1 << 62;

/// A number of schedules.
fn count() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=MOST)
}

/// Runs schedules that break a tunnel, and shows what came of them.
///
/// Exit codes: 0 all is well, 1 a violation, 2 a wrong command line, 3 a situation never reached, 4 two runs
/// of a seed differ, 5 a seeded bug not caught, 6 a file or process failed, 130 interrupted, 141 nobody read
/// the output.
#[derive(Debug, Parser)]
#[command(name = "watertight-sim", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the schedules of many seeds, on all cores, and checks every invariant
    Run(RunArgs),
    /// Plays one schedule and prints its trace
    Replay(ReplayArgs),
    /// Makes a failing schedule as small as possible while it fails alike
    Shrink(ShrinkArgs),
    /// Runs seeds in two processes, there and back, and compares their traces byte for byte
    Meta(MetaArgs),
    /// Writes the traces of many seeds to the standard output
    #[command(hide = true)]
    Traces(TracesArgs),
    /// Runs tunnels that are broken on purpose, each of which must be caught
    SeededBugs(SeededBugsArgs),
    /// Puts the results of the shards of one run together
    Merge(MergeArgs),
    /// Draws a run or a schedule as one HTML page
    #[command(subcommand)]
    Report(ReportCommand),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where the schedules are run
    #[arg(long, default_value = "core")]
    pub(crate) world: World,
    /// How many schedules, those of all shards together
    #[arg(long, value_name = "N", default_value_t = 100_000, conflicts_with = "time", value_parser = count())]
    pub(crate) schedules: u64,
    /// For how long instead, as in `10min`
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) time: Option<Duration>,
    /// The first seed: a number, or any text, such as the hash of a commit
    #[arg(long, value_name = "SEED", default_value = "0")]
    pub(crate) seed: FirstSeed,
    /// Which part of the seeds, as in 0/4
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    pub(crate) shard: Shard,
    /// On how many threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Continues until so many schedules have failed, by blocks of 500; the first one is written and shrunk
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_failures: u32,
    /// Runs them on a tunnel with this seeded bug, in its world: an example of a failure
    #[arg(long, value_name = "NAME", conflicts_with = "world", value_parser = seeded_bug_name)]
    pub(crate) seeded_bug: Option<String>,
    /// Continues a run of the same seeds that was interrupted, if there is one
    #[arg(long)]
    pub(crate) resume: bool,
    /// Does not fail where a situation was never reached, as a short run may not
    #[arg(long)]
    pub(crate) allow_unreached: bool,
    /// The folder for results and failing schedules
    #[arg(long, value_name = "DIR", default_value = "target/watertight-sim")]
    pub(crate) out: PathBuf,
    /// Writes the results to the standard output as JSON, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) played: Played,
    /// Prints the whole trace: every message and every decision
    #[arg(long)]
    pub(crate) trace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    pub(crate) played: Played,
    /// Where to write it [default: FILE.shrunk.json, or WORLD-SEED.shrunk.json]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many smaller schedules are tried at most
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) max_runs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct MetaArgs {
    /// In which world [default: in both, one after the other]
    #[arg(long)]
    pub(crate) world: Option<World>,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = count())]
    pub(crate) schedules: u64,
    /// The first seed: a number, or any text, such as the hash of a commit
    #[arg(long, value_name = "SEED", default_value = "0")]
    pub(crate) seed: FirstSeed,
}

#[derive(Debug, Args)]
pub(crate) struct TracesArgs {
    #[arg(long)]
    pub(crate) world: World,
    #[arg(long)]
    pub(crate) schedules: u64,
    #[arg(long)]
    pub(crate) seed: u64,
    /// From the last seed to the first one
    #[arg(long)]
    pub(crate) backwards: bool,
    /// Runs each once more, without a trace, and reports a different outcome
    #[arg(long)]
    pub(crate) untraced: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SeededBugsArgs {
    /// Only this one
    #[arg(long, value_name = "NAME", value_parser = seeded_bug_name)]
    pub(crate) only: Option<String>,
    /// After how many schedules a seeded bug counts as not caught
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = count())]
    pub(crate) schedules: u64,
    /// The first seed: a number, or any text, such as the hash of a commit
    #[arg(long, value_name = "SEED", default_value = "0")]
    pub(crate) seed: FirstSeed,
    /// Writes the table to a file as JSON, for `report`
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The results of the shards
    #[arg(required = true, value_name = "RESULTS")]
    pub(crate) parts: Vec<PathBuf>,
    /// Where to write the whole
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Does not fail where a situation was never reached
    #[arg(long)]
    pub(crate) allow_unreached: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Draws a run: its rate, what happened, what was reached, what was caught
    Run {
        /// The results of a run, or of several
        #[arg(required = true, value_name = "RESULTS")]
        results: Vec<PathBuf>,
        /// The table that `seeded_bugs --out` has written
        #[arg(long, value_name = "FILE")]
        seeded_bugs: Option<PathBuf>,
        /// Where to write the page
        #[arg(long, short, value_name = "FILE", default_value = "report.html")]
        out: PathBuf,
    },
    /// Draws a schedule: its hosts over time, and what goes between them
    Schedule {
        #[command(flatten)]
        played: Played,
        /// Where to write the page
        #[arg(long, short, value_name = "FILE", default_value = "schedule.html")]
        out: PathBuf,
    },
}
