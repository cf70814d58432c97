//! Text files that the operator names, and warnings about their permissions.

use std::fs;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tracing::warn;

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

const OTHERS_READ: u32 = 0o004;

/// Of the group, too: a user who may change a file of tokens may add one.
const OTHERS_WRITE: u32 = 0o022;

/// Warns if other users of this machine can read or change the file, which is `what`.
pub(crate) fn warn_if_exposed(path: &Path, what: &str) {
    let mode = mode(path);
    let path = path.display();
    if mode & OTHERS_READ != 0 {
        warn!(%path, "every user of this machine can read {what}: chmod o-r it");
    }
    if mode & OTHERS_WRITE != 0 {
        warn!(%path, "other users of this machine can change {what}: chmod go-w it");
    }
}

/// The same of a file that has no secret in it.
pub(crate) fn warn_if_others_can_write(path: &Path, what: &str) {
    if mode(path) & OTHERS_WRITE != 0 {
        let path = path.display();
        warn!(%path, "other users of this machine can change {what}: chmod go-w it");
    }
}

/// The mode of a file, 0 on an error: reading the file reports it.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
