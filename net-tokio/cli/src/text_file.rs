//! Text files, as editors leave them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;

/// What editors on Windows begin a text with. It is no part of it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Bytes in a file; 100,000 clients with a token each are a tenth of it. A device never ends.
const MAX_LEN: u64 = 64 << 20;

/// Reads `what`, the file that the operator gave with `option`.
pub(crate) fn read(path: &Path, what: &str, option: &str) -> Result<String, Failure> {
    let shown = path.display();
    let bytes = read_bounded(path).map_err(|error| {
        Failure::configuration(format_args!(
            "cannot read {what} {shown}: {error}; give the right path with {option}"
        ))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::configuration(format_args!("{what} {shown} is not UTF-8 text: save it as UTF-8"))
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(String::from).unwrap_or(text))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut bytes)? as u64 > MAX_LEN {
        return Err(io::Error::other(format!("it has more than {} MiB", MAX_LEN >> 20)));
    }
    Ok(bytes)
}
