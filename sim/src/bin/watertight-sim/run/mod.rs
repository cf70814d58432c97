//! Runs the schedules of many seeds.

mod files;
mod watcher;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use watertight_sim::campaign::{self, Plan, Results, Shard};
use watertight_sim::{Trace, World};

use crate::cli::RunArgs;
use crate::exit::print_line;
use crate::exit::{CommandResult, Exit};
use crate::play::Play;
use crate::shrink;
pub(crate) use files::summarize;
pub(crate) use files::{read_results, write_results};
use watcher::Watcher;

/// Runs, writes the results, and ends with a kind of failure, or with none.
pub(crate) fn run(arguments: &RunArgs) -> CommandResult {
    let play = Play::choose(arguments.world, arguments.seeded_bug.as_deref())?;
    let path = results_path(arguments, play.world());
    let mut results = beginning(arguments, play.world(), &path)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;

    // A file that cannot be written at the end of a long run is better reported at its beginning.
    write_results(&path, &results)?;
    let mut watcher = Watcher::new(arguments, &results, path.clone(), Arc::clone(&interrupted));
    campaign::run(&mut results, &|schedule| play.run(schedule, &Trace::off()), &mut watcher);
    watcher.finish();
    if arguments.time.is_some() {
        results.complete = !interrupted.load(Ordering::Relaxed) && results.failures.is_empty();
    }
    // A full disk must not hide what was found.
    let written = write_results(&path, &results);
    let exit = exit_code(arguments, &results, interrupted.load(Ordering::Relaxed));
    if written.is_ok() {
        eprintln!("results: {}", path.display());
    }
    if let Some(failed) = results.failures.first() {
        let command = shrink::keep(failed, play, &arguments.out).unwrap_or_else(|error| {
            eprintln!("watertight-sim: {error}");
            shrink::reproduce_seed(failed.seed, play)
        });
        eprintln!("{command}");
    } else {
        written?;
    }
    if arguments.json {
        print_line!("{}", serde_json::to_string(&results)?);
    }
    Ok(exit)
}

fn exit_code(arguments: &RunArgs, results: &Results, interrupted: bool) -> Exit {
    // A part of a run reaches a part of the situations: the whole is judged when it is merged.
    let is_part = arguments.shard != Shard::WHOLE || interrupted;
    let exit = summarize(results, arguments.allow_unreached || is_part);
    if exit == Exit::Fine && interrupted {
        eprintln!("interrupted: the same command with --resume continues");
        return Exit::Interrupted;
    }
    exit
}

fn results_path(arguments: &RunArgs, world: World) -> PathBuf {
    let Shard { index, of } = arguments.shard;
    let seed = arguments.seed.0;
    let what = arguments.seeded_bug.as_deref().unwrap_or(world.name());
    arguments.out.join(format!("run-{what}-{seed}-{index}of{of}.json"))
}

/// Nothing done yet, or what an interrupted run has done.
fn beginning(
    arguments: &RunArgs,
    world: World,
    path: &Path,
) -> Result<Results, Box<dyn std::error::Error>> {
    let plan = Plan {
        world,
        seeded_bug: arguments.seeded_bug.clone(),
        first_seed: arguments.seed.0,
        schedules: arguments.time.is_none().then_some(arguments.schedules),
        shard: arguments.shard,
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = arguments.threads.map_or(cores, usize::from);
    if !arguments.resume {
        return Ok(Results::new(plan, threads));
    }
    if !path.exists() {
        // A shard that was ended before it had begun.
        return Ok(Results::new(plan, threads));
    }
    let mut results = read_results(path)?;
    if results.plan != plan {
        return Err(format!("{} is of another run", path.display()).into());
    }
    results.threads = threads;
    Ok(results)
}
