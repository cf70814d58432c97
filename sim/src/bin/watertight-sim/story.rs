//! The `story` command: whole traces of many seeds, for comparison by `meta`.

use std::io::{self, BufWriter, Write};

use watertight_sim::{Schedule, Trace};

use crate::cli::StoryArgs;
use crate::exit::{Ending, Exit};
use crate::meta::HEADING;
use crate::timeline::timeline;

/// Writes the whole story of every seed.
pub(crate) fn story(arguments: &StoryArgs) -> Ending {
    let mut out = BufWriter::new(io::stdout().lock());
    let end = arguments.seed.saturating_add(arguments.schedules);
    let mut seeds = arguments.seed..end;
    if arguments.backwards {
        seeds.rev().try_for_each(|seed| tell(seed, arguments, &mut out))?;
    } else {
        seeds.try_for_each(|seed| tell(seed, arguments, &mut out))?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}

fn tell(seed: u64, arguments: &StoryArgs, out: &mut impl Write) -> io::Result<()> {
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
