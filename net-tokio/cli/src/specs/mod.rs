//! Values of options, in the operator's words: counts, times and sizes.

mod addresses;
mod urls;

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use watertight::proto::{SessionConfig, Timing};
use watertight::{Buffers, Keepalive};

pub(crate) use addresses::{
    AdminAddr, AgentForward, AllowSpec, ConnectPath, DialTarget, ListenAddr, ServerForward, policy,
};
pub(crate) use urls::{BadPeer, HeaderSpec, PeerSpec, PeerUrl, ProxySpec, UrlSpec};

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

/// The value of `--keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepaliveSpec(pub(crate) Keepalive);

/// The kernel counts in seconds, and probes six times.
const SHORTEST_KEEPALIVE: Duration = Duration::from_secs(9);

/// The kernel takes no longer times, and does not report it.
const LONGEST_KEEPALIVE: Duration = Duration::from_secs(24 * 60 * 60);

impl FromStr for KeepaliveSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(Keepalive::OFF));
        }
        match duration(text)? {
            time if time < SHORTEST_KEEPALIVE => {
                Err(format!("{text} is too short for six probes: write at least 9s, or off"))
            }
            time if time > LONGEST_KEEPALIVE => {
                Err(format!("{text} is too long: write at most 1d, or off"))
            }
            time => Ok(Self(Keepalive::after(time))),
        }
    }
}

/// A time after which a session is over whose remote sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence(Duration);

/// A busy machine may be silent for less.
const SHORTEST_SILENCE: Duration = Duration::from_secs(1);

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
            silence if silence < SHORTEST_SILENCE => {
                Err(format!("{text} is too short for a session to last: write at least 1s"))
            }
            silence => Ok(Self(silence)),
        }
    }
}

/// Bytes that may wait in all sessions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxBuffered(u64);

/// Less is used up by a few connections that do nothing wrong.
const FEWEST_BYTES: u64 = 1 << 20;

impl MaxBuffered {
    /// A server's: of many sessions.
    pub(crate) const OF_SERVER: Self = Self(1 << 30);

    /// An agent's, which has one session and may be on a small machine.
    pub(crate) const OF_AGENT: Self = Self(256 << 20);

    pub(crate) fn buffers(self) -> Buffers {
        Buffers::new(self.0)
    }
}

impl FromStr for MaxBuffered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: ByteSize =
            text.parse().map_err(|_| "expected a size such as 512MiB or 2GiB".to_string())?;
        if size.as_u64() < FEWEST_BYTES {
            return Err(format!("{text} is too little to carry connections: write at least 1MiB"));
        }
        Ok(Self(size.as_u64()))
    }
}

/// The defaults for sessions, with the options of the operator.
pub(crate) fn session_config(
    max_connections: Option<NonZeroUsize>,
    silence: Option<Silence>,
) -> SessionConfig {
    let mut config = SessionConfig::default();
    if let Some(max) = max_connections {
        config.limits.max_connections = max.get();
    }
    if let Some(silence) = silence {
        silence.set(&mut config.timing);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let time = |text: &str| text.parse::<KeepaliveSpec>().unwrap().0.time();
        assert_eq!(time("off"), None);
        assert_eq!(time("9s"), Some(SHORTEST_KEEPALIVE));
        assert_eq!(time("10m"), Some(Duration::from_secs(600)));
        assert_eq!(time("3m"), Keepalive::default().time());
        let error = |text: &str| text.parse::<KeepaliveSpec>().unwrap_err();
        assert!(error("8s").contains("at least 9s"));
        assert_eq!(time("1d"), Some(LONGEST_KEEPALIVE));
        assert!(error("25h").contains("at most 1d"));
        error("never");
    }

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

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1MiB", 1 << 20),
            ("512 MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("2gb", 2_000_000_000),
            ("1048576", 1 << 20),
        ] {
            assert_eq!(text.parse(), Ok(MaxBuffered(bytes)), "{text}");
        }
        for (text, why) in [
            ("", "such as"),
            ("much", "such as"),
            ("-1", "such as"),
            ("0", "at least 1MiB"),
            ("1000", "at least 1MiB"),
        ] {
            let error = text.parse::<MaxBuffered>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
