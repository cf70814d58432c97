//! Runs the schedules of many seeds.

mod files;
mod summary;
mod watcher;

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use watertight_sim::campaign::{self, Plan, Results, Shard};

use crate::cli::RunArgs;
use crate::exit::{Ending, Exit};
use crate::failure;
pub(crate) use files::{read_results, write_results};
pub(crate) use summary::summarize;
use watcher::Watcher;

/// Runs, writes the results, and ends with a kind of failure, or with none.
pub(crate) fn run(arguments: &RunArgs) -> Ending {
    let path = results_path(arguments);
    let mut results = beginning(arguments, &path)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))?;

    let mut watcher = Watcher::new(arguments, &results, path.clone(), Arc::clone(&interrupted));
    campaign::run(&mut results, &mut watcher);
    watcher.finish();
    if arguments.time.is_some() {
        results.complete = !interrupted.load(Ordering::Relaxed);
    }
    write_results(&path, &results)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&results)?);
    }
    ending(arguments, &results, &path, interrupted.load(Ordering::Relaxed))
}

fn ending(
    arguments: &RunArgs,
    results: &Results,
    path: &std::path::Path,
    interrupted: bool,
) -> Ending {
    // A part of a run reaches a part of the situations: the whole is judged when it is merged.
    let allow_unreached = arguments.allow_unreached
        || arguments.shard != Shard::WHOLE
        || interrupted
        || !results.failures.is_empty();
    let exit = summarize(results, allow_unreached);
    eprintln!("results: {}", path.display());
    if let Some(failed) = results.failures.first() {
        let command = failure::keep(failed, results.plan.world, &arguments.out)?;
        eprintln!("{command}");
        return Ok(Exit::Violation);
    }
    if interrupted {
        eprintln!("interrupted: the same command with --resume goes on");
        return Ok(Exit::Interrupted);
    }
    Ok(exit)
}

fn results_path(arguments: &RunArgs) -> PathBuf {
    let Shard { index, of } = arguments.shard;
    let (world, seed) = (arguments.world, arguments.seed.0);
    arguments.out.join(format!("run-{world}-{seed}-{index}of{of}.json"))
}

/// Nothing done yet, or what an interrupted run has done.
fn beginning(
    arguments: &RunArgs,
    path: &std::path::Path,
) -> Result<Results, Box<dyn std::error::Error>> {
    let plan = Plan {
        world: arguments.world,
        first_seed: arguments.seed.0,
        schedules: arguments.time.is_none().then_some(arguments.schedules),
        shard: arguments.shard,
    };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = arguments.threads.map_or(cores, usize::from);
    if !arguments.resume {
        return Ok(Results::new(plan, threads));
    }
    let mut results = read_results(path)?;
    if results.plan != plan {
        return Err(format!("{} is of another run", path.display()).into());
    }
    results.threads = threads;
    Ok(results)
}
