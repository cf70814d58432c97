//! The servers and agents of a schedule.

use serde::{Deserialize, Serialize};

/// Who is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// How many servers: one, or two that are peers of each other (turmoil world only).
    pub servers: u8,
    /// The agents, which start at once.
    pub agents: Vec<Agent>,
}

/// One agent. Its client key follows from its place in the cast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The server that it connects to.
    pub home: u8,
    /// What it is.
    pub kind: AgentKind,
    /// What it speaks on.
    pub transport: Transport,
    /// How its targets are attached.
    pub targets: TargetSide,
}

/// What an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentKind {
    /// Ours, in the extended dialect.
    Watertight,
    /// Ours, in the base dialect.
    Base,
    /// Behaves as remotedialer does, quirks included. In the turmoil world: ours, in the base dialect.
    Remotedialer,
    /// Says what it is told to by [`Say`](super::Action::Say), legal or not, and reads what comes.
    Hostile {
        /// In the base dialect.
        base: bool,
        /// Says proper Settings first, each time it is connected: one that does not gets nowhere in
        /// the extended dialect.
        introduces_itself: bool,
    },
}

/// What a session runs on. The core world has pipes of bytes for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Frames with a length in front. Only in the extended dialect.
    ByteStream,
}

/// How an agent's targets are attached. The core world has one way for both.
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
