//! The `merge` command: the results of shards as one.

use std::fs;

use watertight_sim::campaign::Results;

use crate::cli::MergeArgs;
use crate::exit::{CommandResult, Exit};
use crate::run::{read_results, summarize, write_results};

/// Puts the results of shards together, and judges the whole.
pub(crate) fn merge(arguments: &MergeArgs) -> CommandResult {
    let parts: Vec<_> =
        arguments.parts.iter().map(|path| read_results(path)).collect::<Result<_, _>>()?;
    let results = Results::merge(&parts)?;
    if let Some(path) = &arguments.out {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_results(path, &results)?;
    }
    let exit = summarize(&results, arguments.allow_unreached);
    if !results.complete {
        eprintln!("shards are missing, or not done");
        return Ok(if exit == Exit::Fine { Exit::Failed } else { exit });
    }
    Ok(exit)
}
