//! Values that several options share.

use std::time::Duration;

/// Reads `30s`, `5m`, `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number with a unit, such as 30s, 5m or 1m30s"))
}
