//! Text files, as editors leave them.

use std::fs;
use std::path::Path;

use crate::failure::Failure;

/// What editors on Windows begin a text with. It is no part of it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads `what`, the file that the operator gave with `option`.
pub(crate) fn read(path: &Path, what: &str, option: &str) -> Result<String, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| {
        Failure::configuration(format_args!(
            "cannot read {what} {shown}: {error}; give the right path with {option}"
        ))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::configuration(format_args!("{what} {shown} is not UTF-8 text: save it as UTF-8"))
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(String::from).unwrap_or(text))
}
