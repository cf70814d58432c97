use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::TargetPlan;

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
}

/// What can happen. An action that finds nothing to act on, because the dial before it failed or a
/// fault came in between, does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// An application at `from` dials a target: of the agent `to`, or, where `from` is an agent
    /// itself, of its server.
    Dial {
        /// The stream's number from now on.
        stream: StreamId,
        /// Where the application is.
        from: Host,
        /// The agent that is dialled, or that dials.
        to: u8,
        /// What the target does.
        target: TargetPlan,
        /// Milliseconds that the dial may take.
        within: u32,
    },
    /// The application has so many more bytes to write.
    Write {
        /// Which stream.
        stream: StreamId,
        /// How many.
        bytes: u32,
    },
    /// The application reads so many more bytes.
    Read {
        /// Which stream.
        stream: StreamId,
        /// How many.
        bytes: u32,
    },
    /// The application reads everything from now on.
    ReadAll {
        /// Which stream.
        stream: StreamId,
    },
    /// The application finishes its direction, once it has written what it had to.
    Finish {
        /// Which stream.
        stream: StreamId,
    },
    /// The application resets the connection.
    Reset {
        /// Which stream.
        stream: StreamId,
    },
    /// The application drops the stream, or the future that dials, reads or writes it, in the
    /// middle of whatever it does.
    Drop {
        /// Which stream.
        stream: StreamId,
    },

    /// A second process of the same agent starts while the first one is still connected, and takes
    /// over. The first one stops for good when it is replaced.
    Replace {
        /// Which agent.
        agent: u8,
    },
    /// The server ends the agent's sessions.
    Disconnect {
        /// Which agent.
        agent: u8,
    },
    /// The session of an agent, as seen by the host, takes no new connections; what is open may run
    /// on for so many milliseconds. The agent comes back.
    Drain {
        /// Which agent's session.
        agent: u8,
        /// Which of the two ends drains.
        by_server: bool,
        /// Milliseconds.
        within: u32,
    },
    /// The host's software shuts down in order, within so many milliseconds, and starts again.
    Restart {
        /// Which host.
        host: Host,
        /// Milliseconds.
        within: u32,
    },
    /// The host's process dies. Its sockets are closed by its system.
    Crash {
        /// Which host.
        host: Host,
    },
    /// The host's process starts again; if it runs, it dies before.
    Bounce {
        /// Which host.
        host: Host,
    },

    /// Everything between two hosts is lost, silently.
    Partition {
        /// One.
        a: Host,
        /// The other.
        b: Host,
    },
    /// Everything from one host to another is lost, silently.
    PartitionOneWay {
        /// From here.
        from: Host,
        /// To there.
        to: Host,
    },
    /// Nothing more is lost between two hosts. A stream that has lost bytes stays dead.
    Repair {
        /// One.
        a: Host,
        /// The other.
        b: Host,
    },
    /// Everything between two hosts is held back.
    Hold {
        /// One.
        a: Host,
        /// The other.
        b: Host,
    },
    /// What was held back goes on.
    Release {
        /// One.
        a: Host,
        /// The other.
        b: Host,
    },
    /// From now on, messages between two hosts take so many milliseconds.
    Latency {
        /// One.
        a: Host,
        /// The other.
        b: Host,
        /// Milliseconds.
        millis: u32,
    },
    /// The agent's connection to its server breaks, in the middle of a message if one is under way; both
    /// ends are told by their systems.
    Cut {
        /// Which agent's.
        agent: u8,
    },

    /// A hostile agent says something.
    Say {
        /// Which agent.
        agent: u8,
        /// What it says.
        message: HostileMessage,
    },
    /// Nothing happens.
    Idle,
}

/// What a hostile agent says. Numbers are as on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of the protocol's messages")]
pub enum HostileMessage {
    Settings {
        window: u64,
        max_data: u64,
        max_connections: u64,
    },
    Connect {
        id: i64,
        target: String,
    },
    Data {
        id: i64,
        bytes: u32,
    },
    Opened {
        id: i64,
    },
    Finish {
        id: i64,
    },
    Reset {
        id: i64,
        code: u64,
    },
    Error {
        id: i64,
        text: String,
    },
    Credit {
        id: i64,
        bytes: u64,
    },
    Pause {
        id: i64,
    },
    Resume {
        id: i64,
    },
    Ping,
    Pong,
    Sync {
        newest: i64,
        ids: Vec<i64>,
    },
    SyncConnections {
        ids: Vec<i64>,
    },
    GoAway {
        code: u64,
    },
    AddClient {
        key: String,
    },
    /// The length of a frame without the frame.
    Length {
        length: u64,
    },
    /// The payload of a message, whatever it is.
    Raw {
        bytes: Vec<u8>,
    },
    /// The same message many times, without reading any answer. Each dial has an id of its own.
    Flood {
        count: u16,
        message: Box<HostileMessage>,
    },
    /// It reads nothing any more.
    Deaf,
}

impl StreamId {
    /// Its target, in the words of the protocol. Long enough that a cut one is none.
    #[must_use]
    pub fn target(self) -> String {
        format!("tcp/s{}.example:1", self.0)
    }

    /// The stream of a target, if it is one.
    #[must_use]
    pub fn of_target(target: &str) -> Option<Self> {
        let number = target.strip_prefix("tcp/s")?.strip_suffix(".example:1")?;
        number.parse().ok().map(Self)
    }
}

impl HostileMessage {
    /// What an end that introduces itself says first in the extended dialect.
    pub const INTRODUCTION: Self =
        Self::Settings { window: 1024, max_data: 1024, max_connections: 4 };

    /// The message as it is said for the time `turn` of a flood, from 0 on.
    #[must_use]
    pub fn in_flood(&self, turn: u16) -> Cow<'_, Self> {
        match self {
            Self::Connect { id, target } => {
                let id = id.wrapping_add(2 * i64::from(turn));
                Cow::Owned(Self::Connect { id, target: target.clone() })
            }
            same => Cow::Borrowed(same),
        }
    }
}

impl Action {
    /// What happens, in a word: the rows of a run's statistics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dial { .. } => "dial",
            Self::Write { .. } => "write",
            Self::Read { .. } => "read",
            Self::ReadAll { .. } => "read_all",
            Self::Finish { .. } => "finish",
            Self::Reset { .. } => "reset",
            Self::Drop { .. } => "drop",
            Self::Replace { .. } => "replace",
            Self::Disconnect { .. } => "disconnect",
            Self::Drain { .. } => "drain",
            Self::Restart { .. } => "restart",
            Self::Crash { .. } => "crash",
            Self::Bounce { .. } => "bounce",
            Self::Partition { .. } => "partition",
            Self::PartitionOneWay { .. } => "partition_one_way",
            Self::Repair { .. } => "repair",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
            Self::Latency { .. } => "latency",
            Self::Cut { .. } => "cut",
            Self::Say { .. } => "say",
            Self::Idle => "idle",
        }
    }

    /// Every name, in the order of declaration.
    pub const NAMES: [&'static str; 22] = [
        "dial",
        "write",
        "read",
        "read_all",
        "finish",
        "reset",
        "drop",
        "replace",
        "disconnect",
        "drain",
        "restart",
        "crash",
        "bounce",
        "partition",
        "partition_one_way",
        "repair",
        "hold",
        "release",
        "latency",
        "cut",
        "say",
        "idle",
    ];

    /// Which stream it is about, if it is about one.
    #[must_use]
    pub const fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Dial { stream, .. }
            | Self::Write { stream, .. }
            | Self::Read { stream, .. }
            | Self::ReadAll { stream }
            | Self::Finish { stream }
            | Self::Reset { stream }
            | Self::Drop { stream } => Some(*stream),
            _ => None,
        }
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
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial { stream, from, to, target, within } => {
                let TargetPlan { answer, reads, writes, end } = target;
                write!(f, "{stream}: {from} dials at agent{to} within {within} ms (target: ")?;
                write!(f, "{answer:?}, reads {reads:?}, writes {writes:?}, ends {end:?})")
            }
            Self::Write { stream, bytes } => write!(f, "{stream}: writes {bytes} bytes"),
            Self::Read { stream, bytes } => write!(f, "{stream}: reads {bytes} bytes"),
            Self::ReadAll { stream } => write!(f, "{stream}: reads all"),
            Self::Finish { stream } => write!(f, "{stream}: finishes"),
            Self::Reset { stream } => write!(f, "{stream}: resets"),
            Self::Drop { stream } => write!(f, "{stream}: drops"),
            Self::Replace { agent } => write!(f, "agent{agent} is replaced by a newer process"),
            Self::Disconnect { agent } => write!(f, "agent{agent} is disconnected by its server"),
            Self::Drain { agent, by_server, within } => {
                let by = if *by_server { "server" } else { "agent" };
                write!(f, "the session of agent{agent} is drained by the {by} within {within} ms")
            }
            Self::Restart { host, within } => write!(f, "{host} shuts down within {within} ms"),
            Self::Crash { host } => write!(f, "{host} crashes"),
            Self::Bounce { host } => write!(f, "{host} starts again"),
            Self::Partition { a, b } => write!(f, "{a} and {b} are partitioned"),
            Self::PartitionOneWay { from, to } => write!(f, "{from} no longer reaches {to}"),
            Self::Repair { a, b } => write!(f, "{a} and {b} are repaired"),
            Self::Hold { a, b } => write!(f, "{a} and {b} are held"),
            Self::Release { a, b } => write!(f, "{a} and {b} are released"),
            Self::Latency { a, b, millis } => write!(f, "{a} and {b} are {millis} ms apart"),
            Self::Cut { agent } => write!(f, "the link of agent{agent} is cut"),
            Self::Say { agent, message } => write!(f, "agent{agent} says {message:?}"),
            Self::Idle => f.write_str("nothing"),
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

    #[test]
    fn the_dials_of_a_flood_have_ids_of_their_own() {
        let dial = HostileMessage::Connect { id: 5, target: "t".into() };
        let third = HostileMessage::Connect { id: 9, target: "t".into() };
        assert_eq!(*dial.in_flood(0), dial);
        assert_eq!(*dial.in_flood(2), third);
        assert_eq!(*HostileMessage::Ping.in_flood(2), HostileMessage::Ping);
    }
}
