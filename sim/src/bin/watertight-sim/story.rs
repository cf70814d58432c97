use std::io::{self, BufWriter, Write};

use watertight_sim::{Schedule, Trace};

use crate::cli::StoryArgs;
use crate::exit::{Ending, Exit};
use crate::timeline::timeline;

/// Writes the whole story of every seed.
pub(crate) fn story(arguments: &StoryArgs) -> Ending {
    let mut out = BufWriter::new(io::stdout().lock());
    let end = arguments.seed.saturating_add(arguments.schedules);
    for seed in arguments.seed..end {
        let trace = Trace::on();
        let outcome = arguments.world.run(&Schedule::generate(seed, arguments.world), &trace);
        writeln!(out, "== seed {seed}")?;
        out.write_all(timeline(&trace.take(), &outcome, true).as_bytes())?;
        writeln!(out, "reached: {:?}", outcome.seen.iter().collect::<Vec<_>>())?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}
