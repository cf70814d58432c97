//! The `replay` command: one schedule with its trace.

use watertight_sim::Trace;

use crate::cli::ReplayArgs;
use crate::exit::{Ending, Exit};
use crate::say::{say, write};
use crate::timeline::timeline;

/// Plays one schedule and tells its story.
pub(crate) fn replay(arguments: &ReplayArgs) -> Ending {
    let played = &arguments.played;
    let (case, play) = played.load()?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    if !case.about.is_empty() {
        say!("{}", case.about);
    }
    say!("seed {} in the {} world", case.schedule.seed, case.world);
    if let Some(specimen) = play.specimen() {
        say!("on the specimen {specimen}");
    }
    write(format_args!("{}", timeline(&trace.take(), &outcome, arguments.trace)));
    if let Some(found) = &case.found
        && outcome.violation.as_ref().is_none_or(|violation| !violation.is_like(found))
    {
        say!("it was kept for another one: {found}");
    }
    Ok(if outcome.violation.is_some() { Exit::Violation } else { Exit::Fine })
}
