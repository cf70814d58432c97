//! How long a user's or target's machine may be silent, in the operator's words.

use std::str::FromStr;
use std::time::Duration;

use watertight::Keepalive;

use crate::cli::duration;

/// The value of `--keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepaliveSpec(pub(crate) Keepalive);

/// The kernel counts in seconds, and probes six times.
const LEAST: Duration = Duration::from_secs(9);

/// It takes no longer times, and says nothing of it.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

impl FromStr for KeepaliveSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(Keepalive::OFF));
        }
        match duration(text)? {
            time if time < LEAST => {
                Err(format!("{text} is too short for six probes: write at least 9s, or off"))
            }
            time if time > MOST => Err(format!("{text} is too long: write at most 1d, or off")),
            time => Ok(Self(Keepalive::after(time))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let time = |text: &str| text.parse::<KeepaliveSpec>().unwrap().0.time();
        assert_eq!(time("off"), None);
        assert_eq!(time("9s"), Some(LEAST));
        assert_eq!(time("10m"), Some(Duration::from_secs(600)));
        assert_eq!(time("3m"), Keepalive::default().time());
        let error = |text: &str| text.parse::<KeepaliveSpec>().unwrap_err();
        assert!(error("8s").contains("at least 9s"));
        assert_eq!(time("1d"), Some(MOST));
        assert!(error("25h").contains("at most 1d"));
        error("never");
    }
}
