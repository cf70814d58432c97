//! The bytes of the real peer, as the core's tests keep them.

use std::error::Error;
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
    let conversations: Vec<_> = files.iter().map(|path| messages(path)).collect();
    assert!(!conversations.is_empty(), "{VECTORS} is empty");
    conversations
}

fn messages(path: &Path) -> Vec<Vec<u8>> {
    let at = |error: &dyn Error| -> ! { panic!("{}: {error}", path.display()) };
    let text = fs::read_to_string(path).unwrap_or_else(|error| at(&error));
    let lines =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| at(&error)));
    // Pings of the WebSocket have bytes, too, but no type.
    let messages = lines.filter(|line: &Value| line.get("type").is_some());
    let whole = messages.filter_map(|line| line.get("hex").and_then(Value::as_str).map(unhex));
    whole.collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2).filter_map(|at| hex.get(at..at + 2));
    let bytes = digits.map(|digits| u8::from_str_radix(digits, 16));
    bytes.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{hex}: {error}"))
}
