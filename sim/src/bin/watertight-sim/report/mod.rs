//! Runs and schedules as pages: one file each, with nothing to load from anywhere.

mod page;
mod run_page;
mod schedule_page;

use std::fs;
use std::path::Path;

use watertight_sim::Trace;

use crate::cli::ReportCommand;
use crate::exit::print_line;
use crate::exit::{CommandResult, Exit};
use crate::run::read_results;
use crate::seeded_bugs::read_table;

/// Draws a run or a schedule.
pub(crate) fn report(command: &ReportCommand) -> CommandResult {
    match command {
        ReportCommand::Run { results, seeded_bugs, out } => {
            let results: Vec<_> =
                results.iter().map(|path| read_results(path)).collect::<Result<_, _>>()?;
            let seeded_bugs = seeded_bugs.as_deref().map(read_table).transpose()?;
            write(out, &run_page::page(&results, seeded_bugs.as_deref().unwrap_or_default()))?;
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
    print_line!("{}", path.display());
    Ok(())
}
