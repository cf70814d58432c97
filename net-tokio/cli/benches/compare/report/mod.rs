//! The table and the picture of a comparison.

mod plot;
mod table;

use std::path::Path;

use crate::Result;
use crate::results::Results;

/// Writes `comparison.md`, `short.md` and `comparison.svg` into a folder.
pub(crate) fn write(results: &Results, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("comparison.md"), table::whole(results))?;
    std::fs::write(folder.join("short.md"), table::short(results))?;
    std::fs::write(folder.join("comparison.svg"), plot::svg(results)?)?;
    Ok(())
}
