//! Names of streams and hosts in a schedule.

use std::fmt;

use serde::{Deserialize, Serialize};
use watertight_core::wire::ResetCode;

/// A stream that an application dials, by its number in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u16);

/// Where software runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// A server.
    Server(u8),
    /// An agent.
    Agent(u8),
    /// Somebody unknown, from many addresses. No step is about it.
    Strangers,
}

/// The target that all streams share whose dials are never answered.
pub(crate) const HANGING: &str = "tcp/hangs.example:1";

impl StreamId {
    /// Its target, in the words of the protocol. Long enough that a cut one is none.
    #[must_use]
    pub fn target(self) -> String {
        format!("tcp/s{}.example:1", self.0)
    }

    /// What a reset of the stream by its application or its target says. The machine of every other
    /// target that resets has vanished: its host's kernel has noticed it.
    pub(crate) const fn reset_code(self, by_target: bool) -> ResetCode {
        if by_target && self.0 % 2 == 1 { ResetCode::VANISHED } else { ResetCode::CANCELLED }
    }

    /// The stream of a target, if it is one.
    #[must_use]
    pub fn of_target(target: &str) -> Option<Self> {
        let number = target.strip_prefix("tcp/s")?.strip_suffix(".example:1")?;
        number.parse().ok().map(Self)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(number) => f.pad(&format!("server{number}")),
            Self::Agent(number) => f.pad(&format!("agent{number}")),
            Self::Strangers => f.pad("strangers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_its_stream_and_a_cut_one_names_none() {
        let whole = StreamId(12).target();
        assert_eq!(StreamId::of_target(&whole), Some(StreamId(12)));
        for cut in 0..whole.len() {
            assert_eq!(StreamId::of_target(&whole[..cut]), None);
        }
    }
}
