//! The bytes of the real peer, as the core's tests keep them.

use std::fs;
use std::path::Path;

use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/vectors");

/// The messages of each recording, in order; those whose payload was not kept are left out.
pub(super) fn conversations() -> Vec<Vec<Vec<u8>>> {
    let folder = fs::read_dir(VECTORS).unwrap_or_else(|error| panic!("{VECTORS}: {error}"));
    let mut files: Vec<_> = folder.flatten().map(|file| file.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files.iter().map(|path| messages(path)).collect()
}

fn messages(path: &Path) -> Vec<Vec<u8>> {
    let lines = fs::read_to_string(path);
    let lines = lines.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = lines.lines().flat_map(serde_json::from_str::<Value>);
    // Pings of the WebSocket have bytes, too, but no type.
    let messages = lines.filter(|line| line.get("type").is_some());
    messages.filter_map(|line| unhex(line.get("hex")?.as_str()?)).collect()
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits = (0..hex.len()).step_by(2).map(|at| hex.get(at..at + 2));
    digits.map(|digits| u8::from_str_radix(digits?, 16).ok()).collect()
}
