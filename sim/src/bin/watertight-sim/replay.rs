//! The traces of schedules: the `replay` command, and `traces`, whose output `meta` compares.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use watertight_sim::{Moment, Outcome, Schedule, Trace};

use crate::cli::{ReplayArgs, TracesArgs};
use crate::exit::{CommandResult, Exit, print_line, write};
use crate::meta::HEADING;

/// Plays one schedule and prints its trace.
pub(crate) fn replay(arguments: &ReplayArgs) -> CommandResult {
    let played = &arguments.played;
    let (case, play) = played.load()?;
    let trace = Trace::on();
    let outcome = play.run(&case.schedule, &trace);
    if !case.about.is_empty() {
        print_line!("{}", case.about);
    }
    print_line!("seed {} in the {} world", case.schedule.seed, case.world);
    if let Some(seeded_bug) = play.seeded_bug() {
        print_line!("on the seeded bug {seeded_bug}");
    }
    write(format_args!("{}", timeline(&trace.take(), &outcome, arguments.trace)));
    if let Some(found) = &case.found
        && outcome.violation.as_ref().is_none_or(|violation| !violation.is_like(found))
    {
        print_line!("it was kept for another one: {found}");
    }
    Ok(if outcome.violation.is_some() { Exit::Violation } else { Exit::Fine })
}

/// Writes the whole trace of every seed.
pub(crate) fn traces(arguments: &TracesArgs) -> CommandResult {
    let mut out = BufWriter::new(io::stdout().lock());
    let end = arguments.seed.saturating_add(arguments.schedules);
    let mut seeds = arguments.seed..end;
    if arguments.backwards {
        seeds.rev().try_for_each(|seed| write_trace(seed, arguments, &mut out))?;
    } else {
        seeds.try_for_each(|seed| write_trace(seed, arguments, &mut out))?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}

fn write_trace(seed: u64, arguments: &TracesArgs, out: &mut impl Write) -> io::Result<()> {
    let (world, trace) = (arguments.world, Trace::on());
    let schedule = Schedule::generate(seed, world);
    let outcome = world.run(&schedule, &trace);
    writeln!(out, "{HEADING}{seed}")?;
    out.write_all(timeline(&trace.take(), &outcome, true).as_bytes())?;
    writeln!(out, "reached: {:?}", outcome.seen.iter().collect::<Vec<_>>())?;
    if arguments.untraced {
        let untraced = world.run(&schedule, &Trace::off());
        if untraced != outcome {
            writeln!(out, "without a trace: {untraced:?}")?;
        }
    }
    Ok(())
}

/// A trace as text: all of it, or the events at the hosts without the messages between them.
pub(crate) fn timeline(moments: &[Moment], outcome: &Outcome, whole: bool) -> String {
    let mut text = String::new();
    for moment in moments.iter().filter(|moment| whole || moment.to.is_none()) {
        // Writing to a text cannot fail.
        writeln!(text, "{moment}").ok();
    }
    match &outcome.violation {
        Some(violation) => writeln!(text, "VIOLATION  {violation}"),
        None => {
            writeln!(text, "all invariants hold, after {:?} of virtual time", outcome.virtual_time)
        }
    }
    .ok();
    text
}
