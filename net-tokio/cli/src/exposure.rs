//! Files that others should not read, or change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tracing::warn;

const OTHERS_READ: u32 = 0o004;

/// Of the group, too: who may change a file of tokens may let himself in.
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

/// One that cannot be looked at is complained of when it is read.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode())
}
