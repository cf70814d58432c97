use watertight_sim::Trace;

use crate::cli::ReplayArgs;
use crate::exit::{Ending, Exit};
use crate::play::Play;
use crate::timeline::timeline;

/// Plays one schedule and tells its story.
pub(crate) fn replay(arguments: &ReplayArgs) -> Ending {
    let played = &arguments.played;
    let case = played.subject.case(played.world)?;
    let play = Play::of_case(&case, played)?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    if !case.about.is_empty() {
        println!("{}", case.about);
    }
    println!("seed {} in the {} world", case.schedule.seed, case.world);
    if let Some(specimen) = play.specimen() {
        println!("on the specimen {specimen}");
    }
    print!("{}", timeline(&trace.take(), &outcome, arguments.trace));
    if let Some(found) = &case.found
        && outcome.violation.as_ref().is_none_or(|violation| !violation.is_like(found))
    {
        println!("it was kept for another one: {found}");
    }
    Ok(if outcome.violation.is_some() { Exit::Violation } else { Exit::Fine })
}
