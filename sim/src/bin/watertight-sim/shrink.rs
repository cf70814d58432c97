//! The `shrink` command: a smaller schedule with the same violation.

use watertight_sim::shrink::{Shrunk, shrink as make_smaller};
use watertight_sim::{Case, Trace};

use crate::cli::ShrinkArgs;
use crate::exit::{Ending, Exit};
use crate::failure::reproduce;
use crate::say::{say, write};
use crate::timeline::timeline;

/// Makes a failing schedule smaller, writes it and tells its story.
pub(crate) fn shrink(arguments: &ShrinkArgs) -> Ending {
    let played = &arguments.played;
    let (case, play) = played.load()?;
    let outcome = play.run(&case.schedule, &Trace::off());
    let Some(violation) = outcome.violation else {
        say!("all invariants hold: there is nothing to shrink");
        return Ok(Exit::Fine);
    };
    let run = |schedule: &_| play.run(schedule, &Trace::off()).violation;
    let shrunk = make_smaller(&case.schedule, &violation, arguments.max_runs, run);
    let Shrunk { schedule, violation, runs } = shrunk;
    say!(
        "{} steps of {} are left, after {runs} tries",
        schedule.steps.len(),
        case.schedule.steps.len()
    );

    let default = || played.subject.derived(case.world, "shrunk.json");
    let path = arguments.out.clone().unwrap_or_else(default);
    let specimen = play.specimen().map(str::to_string);
    let case = Case { specimen, found: Some(violation), schedule, ..case };
    case.write(&path)?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    write(format_args!("{}", timeline(&trace.take(), &outcome, false)));
    say!("{}", reproduce(&path));
    Ok(Exit::Violation)
}
