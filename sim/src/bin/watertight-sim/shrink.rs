//! Failing schedules: written, shrunk, and replayed.

use std::path::{Path, PathBuf};

use watertight_sim::campaign::FailedSchedule;
use watertight_sim::shrink::{Shrunk, shrink as make_smaller};
use watertight_sim::{Case, CaseError, Schedule, Trace};

use crate::cli::ShrinkArgs;
use crate::exit::{CommandResult, Exit, print_line, write};
use crate::play::Play;
use crate::replay::timeline;

/// Makes a failing schedule smaller, writes it and prints its trace.
pub(crate) fn shrink(arguments: &ShrinkArgs) -> CommandResult {
    let played = &arguments.played;
    let (case, play) = played.load()?;
    let outcome = play.run(&case.schedule, &Trace::off());
    let Some(violation) = outcome.violation else {
        print_line!("all invariants hold: there is nothing to shrink");
        return Ok(Exit::Fine);
    };
    let run = |schedule: &_| play.run(schedule, &Trace::off()).violation;
    let shrunk = make_smaller(&case.schedule, &violation, arguments.max_runs, run);
    let Shrunk { schedule, violation, runs } = shrunk;
    print_line!(
        "{} steps of {} are left, after {runs} tries",
        schedule.steps.len(),
        case.schedule.steps.len()
    );

    let default = || played.subject.derived(case.world, "shrunk.json");
    let path = arguments.out.clone().unwrap_or_else(default);
    let seeded_bug = play.seeded_bug().map(str::to_string);
    let case = Case { seeded_bug, found: Some(violation), schedule, ..case };
    case.write(&path)?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    write(format_args!("{}", timeline(&trace.take(), &outcome, false)));
    print_line!("{}", reproduce(&path));
    Ok(Exit::Violation)
}

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
    let seeded_bug =
        play.seeded_bug().map_or_else(String::new, |name| format!(" --seeded-bug {name}"));
    let world = play.world();
    format!("cargo run --release -p watertight-sim -- replay {seed} --world {world}{seeded_bug}")
}

/// Writes a failure of a run and its shrunk form, and prints the trace of that. Returns the command that
/// replays it.
pub(crate) fn keep(failure: &FailedSchedule, play: Play, out: &Path) -> Result<String, CaseError> {
    let FailedSchedule { seed, violation } = failure;
    let world = play.world();
    let file = |extension: &str| -> PathBuf { out.join(format!("{world}-{seed}.{extension}")) };
    let mut case = Case::of_seed(*seed, world);
    case.found = Some(violation.clone());
    case.seeded_bug = play.seeded_bug().map(str::to_string);
    eprintln!("seed {seed}: {violation}");
    case.write(&file("json"))?;
    eprintln!("written to {}", file("json").display());

    let run = |schedule: &Schedule| play.run(schedule, &Trace::off()).violation;
    let shrunk = make_smaller(&case.schedule, violation, MAX_RUNS, run);
    let steps = (shrunk.schedule.steps.len(), case.schedule.steps.len());
    eprintln!("shrunk to {} steps of {}, in {} tries:", steps.0, steps.1, shrunk.runs);
    (case.schedule, case.found) = (shrunk.schedule, Some(shrunk.violation));
    case.write(&file("shrunk.json"))?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    eprint!("{}", timeline(&trace.take(), &outcome, false));
    Ok(reproduce(&file("shrunk.json")))
}
