//! The results of a run: files, and a summary.

use std::fs;
use std::path::Path;

use watertight_sim::Situation;
use watertight_sim::campaign::Results;

use crate::exit::Exit;

type Error = Box<dyn std::error::Error>;

pub(crate) fn read_results(path: &Path) -> Result<Results, Error> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let no_results = |why: String| format!("{}: no results of a run: {why}", path.display());
    let results: Results =
        serde_json::from_str(&text).map_err(|error| no_results(error.to_string()))?;
    results.check().map_err(no_results)?;
    Ok(results)
}

/// Writes beside the file first: an interruption never leaves half of one.
pub(crate) fn write_results(path: &Path, results: &Results) -> Result<(), Error> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let beside = path.with_extension("json.new");
    fs::write(&beside, serde_json::to_string_pretty(results)?).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    Ok(())
}

/// Prints the outcome of a run in a few lines, and judges it.
pub(crate) fn summarize(results: &Results, allow_unreached: bool) -> Exit {
    let (plan, tally) = (&results.plan, &results.tally);
    let virtual_hours = tally.virtual_time.as_secs() / 3600;
    eprintln!(
        "{} world: {} schedules from seed {}, {} failed, {:.0} a second on {} threads, \
         {virtual_hours} virtual hours",
        plan.world,
        tally.schedules,
        plan.first_seed,
        results.failures.len(),
        results.rate(),
        results.threads,
    );
    let all = Situation::of(plan.world).count();
    let unreached: Vec<_> = tally.unreached(plan.world).collect();
    eprintln!("{} of {all} situations reached", all - unreached.len());
    if let Some((situation, schedules)) = tally.rarest(plan.world) {
        eprintln!("rarest: {situation}, in {schedules} schedules");
    }
    if !results.failures.is_empty() {
        return Exit::Violation;
    }
    if unreached.is_empty() || allow_unreached {
        return Exit::Fine;
    }
    for situation in unreached {
        eprintln!("never reached: {situation}");
    }
    eprintln!(
        "a short run may not reach them: --schedules for more, --allow-unreached to let it pass"
    );
    Exit::Unreached
}
