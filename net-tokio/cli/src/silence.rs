//! How long the other end of a session may be silent, in the operator's words.

use std::str::FromStr;
use std::time::Duration;

use watertight::core::Timing;

use crate::cli::duration;

/// A time after which a session is over whose other end says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence(Duration);

/// A busy machine is silent for less without being gone.
const LEAST: Duration = Duration::from_secs(1);

/// How many pings an end may miss.
const PINGS: u32 = 3;

impl Silence {
    /// Sets what depends on it.
    pub(crate) fn set(self, timing: &mut Timing) {
        timing.silence = self.0;
        timing.ping_interval = timing.ping_interval.min(self.0 / PINGS);
        // An end that may be silent for so long may also take nothing for so long.
        timing.stall = timing.stall.max(self.0);
    }
}

impl FromStr for Silence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match duration(text)? {
            silence if silence < LEAST => {
                Err(format!("{text} is too short for a session to last: write at least 1s"))
            }
            silence => Ok(Self(silence)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(silence: &str) -> Timing {
        let mut timing = Timing::default();
        silence.parse::<Silence>().unwrap().set(&mut timing);
        timing
    }

    #[test]
    fn pings_go_out_often_enough() {
        for (silence, ping) in [("1s", 333), ("9s", 3000), ("30s", 5000), ("1h", 5000)] {
            let timing = timing(silence);
            assert_eq!(timing.silence, duration(silence).unwrap());
            assert_eq!(timing.ping_interval.as_millis(), ping, "{silence}");
            assert!(timing.stall >= timing.silence, "{silence}");
        }
    }

    #[test]
    fn the_default_is_the_one_in_the_help() {
        assert_eq!(timing("30s"), Timing::default());
    }

    #[test]
    fn short_silences_are_refused() {
        for text in ["0s", "999ms", "0"] {
            let error = text.parse::<Silence>().unwrap_err();
            assert!(error.contains("at least 1s") || error.contains("unit"), "{error}");
        }
    }
}
