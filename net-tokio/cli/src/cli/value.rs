//! Values that several options share.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

/// A time that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NonZeroTime(pub(crate) Duration);

/// Reads how many there may be.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "expected a whole number of at least 1".to_string())
}

/// Reads `30s`, `5m`, `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number with a unit, such as 30s, 5m or 1m30s"))
}

impl FromStr for NonZeroTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text)? {
            Duration::ZERO => Err("it cannot be zero: write a time such as 10s".to_string()),
            time => Ok(Self(time)),
        }
    }
}
