//! The hosts and streams of a schedule.

use std::fmt;

use serde::{Deserialize, Serialize};
use watertight_core::wire::ResetCode;

/// Who is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// How many servers: one, or two that are peers of each other (turmoil world only).
    pub servers: u8,
    /// The agents, which start at once.
    pub agents: Vec<Agent>,
}

/// One agent. Its client key follows from its index in the cast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The server that it connects to.
    pub home: u8,
    /// Its kind.
    pub kind: AgentKind,
    /// Its transport.
    pub transport: Transport,
    /// How its targets are attached.
    pub targets: TargetSide,
}

/// What an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// A watertight agent, in the extended dialect.
    Watertight,
    /// A watertight agent, in the base dialect.
    Base,
    /// Behaves as remotedialer does, quirks included. In the turmoil world: a watertight agent in the base
    /// dialect.
    Remotedialer,
    /// Sends the messages of [`Send`](super::Action::Send), legal or not, and reads the answers.
    Hostile {
        /// In the base dialect.
        base: bool,
        /// Sends proper Settings first, each time it is connected: without them a session of the extended
        /// dialect ends.
        introduces_itself: bool,
    },
}

/// The transport of a session. The core world has pipes of bytes for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Frames with a length in front. Only in the extended dialect.
    ByteStream,
}

/// How an agent's targets are attached. The core world has one kind for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetSide {
    /// A handler in the agent's process reads and writes the stream.
    Handler,
    /// The agent dials a byte stream and copies.
    Dialer,
}

impl AgentKind {
    /// Whether its sessions are in the base dialect.
    #[must_use]
    pub const fn is_base(self) -> bool {
        matches!(self, Self::Base | Self::Remotedialer | Self::Hostile { base: true, .. })
    }

    /// Whether it behaves as the protocol demands.
    #[must_use]
    pub const fn is_honest(self) -> bool {
        !matches!(self, Self::Hostile { .. })
    }
}

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
    Unauthenticated,
}

/// The target that all streams share whose dials are never answered.
pub(crate) const HANGING: &str = "tcp/hangs.example:1";

impl StreamId {
    /// Its target, in the words of the protocol. Long enough that a cut one is none.
    #[must_use]
    pub fn target(self) -> String {
        format!("tcp/s{}.example:1", self.0)
    }

    /// The code of a reset of the stream by its application or its target. The machine of every other target
    /// that resets has vanished: its host's kernel has noticed it.
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
            Self::Unauthenticated => f.pad("unauthenticated"),
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
