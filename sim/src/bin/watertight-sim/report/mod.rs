//! Runs and schedules as pages: one file each, with nothing to load from anywhere.

mod bars;
mod page;
mod plot;
mod run_page;
mod schedule_page;
mod sequence;

use std::fs;
use std::path::Path;

use watertight_sim::Trace;

use crate::cli::ReportCommand;
use crate::exit::{Ending, Exit};
use crate::run::read_results;
use crate::say::say;
use crate::specimens::read_table;

/// Draws a run or a schedule.
pub(crate) fn report(command: &ReportCommand) -> Ending {
    match command {
        ReportCommand::Run { results, specimens, out } => {
            let results: Vec<_> =
                results.iter().map(|path| read_results(path)).collect::<Result<_, _>>()?;
            let specimens = specimens.as_deref().map(read_table).transpose()?;
            write(out, &run_page::page(&results, specimens.as_deref().unwrap_or_default()))?;
        }
        ReportCommand::Schedule { played, out } => {
            let (case, play) = played.load()?;
            let trace = Trace::on();
            let outcome = play.run(&case.schedule, &trace);
            write(out, &schedule_page::page(&case, &outcome, &trace.take()))?;
        }
    }
    Ok(Exit::Fine)
}

fn write(path: &Path, page: &maud::Markup) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", path.display());
    fs::write(path, page.0.as_str()).map_err(failed)?;
    say!("{}", path.display());
    Ok(())
}
