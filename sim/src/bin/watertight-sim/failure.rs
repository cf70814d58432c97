//! Failures of a run: files, shrunk schedules, and the command that reproduces each.

use std::path::{Path, PathBuf};

use watertight_sim::campaign::Failure;
use watertight_sim::shrink::shrink;
use watertight_sim::{Case, CaseError, Schedule, Trace};

use crate::play::Play;
use crate::timeline::timeline;

/// How many smaller schedules are tried by themselves when a run fails.
const MAX_RUNS: usize = 3000;

/// The command that shows a failure again.
pub(crate) fn reproduce(path: &Path) -> String {
    format!("cargo run --release -p watertight-sim -- replay {}", quoted(&path.to_string_lossy()))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if word.bytes().all(is_plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The same for a failure that cannot be written.
pub(crate) fn reproduce_seed(seed: u64, play: Play) -> String {
    let specimen = play.specimen().map_or_else(String::new, |name| format!(" --specimen {name}"));
    let world = play.world();
    format!("cargo run --release -p watertight-sim -- replay {seed} --world {world}{specimen}")
}

/// Writes a failure of a run and what it shrinks to, and tells the story of that. Returns the
/// command that shows it again.
pub(crate) fn keep(failure: &Failure, play: Play, out: &Path) -> Result<String, CaseError> {
    let Failure { seed, violation } = failure;
    let world = play.world();
    let file = |ending: &str| -> PathBuf { out.join(format!("{world}-{seed}.{ending}")) };
    let mut case = Case::of_seed(*seed, world);
    case.found = Some(violation.clone());
    case.specimen = play.specimen().map(str::to_string);
    eprintln!("seed {seed}: {violation}");
    case.write(&file("json"))?;
    eprintln!("written to {}", file("json").display());

    let run = |schedule: &Schedule| play.run(schedule, &Trace::off()).violation;
    let shrunk = shrink(&case.schedule, violation, MAX_RUNS, run);
    let steps = (shrunk.schedule.steps.len(), case.schedule.steps.len());
    eprintln!("shrunk to {} steps of {}, in {} tries:", steps.0, steps.1, shrunk.runs);
    (case.schedule, case.found) = (shrunk.schedule, Some(shrunk.violation));
    case.write(&file("shrunk.json"))?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    eprint!("{}", timeline(&trace.take(), &outcome, false));
    Ok(reproduce(&file("shrunk.json")))
}
