//! Files of results, written atomically.

use std::fs;
use std::path::Path;

use watertight_sim::campaign::Results;

type Error = Box<dyn std::error::Error>;

pub(crate) fn read_results(path: &Path) -> Result<Results, Error> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let no_results = |why: String| format!("{}: no results of a run: {why}", path.display());
    let results: Results =
        serde_json::from_str(&text).map_err(|error| no_results(error.to_string()))?;
    results.check().map_err(no_results)?;
    Ok(results)
}

/// Writes beside the file first: an interruption never leaves half of one.
pub(crate) fn write_results(path: &Path, results: &Results) -> Result<(), Error> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let beside = path.with_extension("json.new");
    fs::write(&beside, serde_json::to_string_pretty(results)?).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    Ok(())
}
