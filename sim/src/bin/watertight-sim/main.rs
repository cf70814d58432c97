//! `watertight-sim`: runs schedules that break a tunnel, and shows what came of them.

mod cli;
mod exit;
mod merge;
mod meta;
mod play;
mod replay;
mod report;
mod run;
mod seeded_bugs;
mod shrink;
mod subject;

use std::process::ExitCode;

use clap::Parser;
// Its `malloc` replaces the C library's: a schedule is mostly small messages.
#[cfg(target_os = "linux")]
use mimalloc as _;

use cli::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Shrink(arguments) => shrink::shrink(&arguments),
        Command::Meta(arguments) => meta::meta(&arguments),
        Command::Traces(arguments) => replay::traces(&arguments),
        Command::SeededBugs(arguments) => seeded_bugs::seeded_bugs(&arguments),
        Command::Merge(arguments) => merge::merge(&arguments),
        Command::Report(arguments) => report::report(&arguments),
    };
    match exit {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("watertight-sim: {error}");
            Exit::Failed.into()
        }
    }
}
