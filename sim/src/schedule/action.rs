//! The actions of a schedule, and the openings of unauthenticated remotes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::knobs::is_zero;
use super::{Host, HostileMessage, Step, StreamId, TargetPlan, Transport};

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
        /// The plan of the target.
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
    /// The application drops the stream, or the future that dials, reads or writes it, in the middle of its
    /// operation.
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
    /// The session of an agent, as seen by the host, takes no new connections; open ones may run for so many
    /// milliseconds. The agent comes back.
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
    /// Held messages continue.
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
    /// The connections that a host has made break, in the middle of a message if one is in transit; both ends
    /// are notified by their systems.
    Cut {
        /// Which host: an agent, or a server that has a peer.
        by: Host,
    },

    /// A hostile agent sends a message.
    Send {
        /// Which agent.
        agent: u8,
        /// The message.
        message: HostileMessage,
    },
    /// Unauthenticated remotes open sockets to a server, all at once, with one opening. In the turmoil world
    /// only.
    UnauthenticatedConnect {
        /// Which server.
        server: u8,
        /// How many sockets.
        sockets: u16,
        /// Their transport.
        transport: Transport,
        /// Their first bytes.
        opening: Opening,
        /// Milliseconds after which they close; without, they stay until the server closes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leave_after: Option<u32>,
        /// For so many milliseconds, remotes whose socket is closed connect again.
        #[serde(default, skip_serializing_if = "is_zero")]
        again_for: u32,
        /// They keep their ends open when the server has finished its own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hold_on: bool,
    },
    /// Unauthenticated remotes answer connections to a server meanwhile. In the turmoil world only.
    Impersonate {
        /// Which server.
        server: u8,
        /// Their answer.
        opening: Opening,
        /// For so many milliseconds.
        within: u32,
    },
    /// Nothing happens.
    Idle,
}

macro_rules! names {
    ($($action:ident: $name:literal,)+) => {
        impl Action {
            /// Every name, in the order of declaration.
            pub const NAMES: [&'static str; [$($name),+].len()] = [$($name),+];

            /// What happens, in a word: the rows of a run's statistics.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$action { .. } => $name,)+
                }
            }
        }
    };
}

names! {
    Dial: "dial",
    Write: "write",
    Read: "read",
    ReadAll: "read_all",
    Finish: "finish",
    Reset: "reset",
    Drop: "drop",
    Replace: "replace",
    Disconnect: "disconnect",
    Drain: "drain",
    Restart: "restart",
    Crash: "crash",
    Bounce: "bounce",
    Partition: "partition",
    PartitionOneWay: "partition_one_way",
    Repair: "repair",
    Hold: "hold",
    Release: "release",
    Latency: "latency",
    Cut: "cut",
    Send: "send",
    UnauthenticatedConnect: "unauthenticated_connect",
    Impersonate: "impersonate",
    Idle: "idle",
}

impl Action {
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

/// How an unauthenticated remote opens a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Opening {
    /// With nothing.
    Silence,
    /// With so many bytes of a greeting, but never a whole one, and nothing after them.
    Part {
        /// How many.
        bytes: u16,
    },
    /// With bytes that are no greeting.
    Garbage {
        /// Which.
        bytes: Vec<u8>,
    },
    /// With a whole greeting and a wrong token; as a server with an answer that proves nothing.
    Wrong,
    /// With a right greeting, or a right answer, and frames that are broken.
    Frames {
        /// How they are broken.
        frames: BrokenFrames,
    },
}

/// Frames that no end may send. A byte stream has fewer of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BrokenFrames {
    /// An opcode that is reserved.
    Opcode,
    /// Reserved bits that are set.
    ReservedBits,
    /// A length beyond every limit.
    Length,
    /// A length whose bytes do not come.
    Unfinished,
    /// Fragments without a last one, beyond the limit of a message.
    Fragments,
    /// A Ping that is too long.
    LongControl,
    /// A masked frame whose payload is no message.
    Masked,
    /// Bytes that are no frames.
    Garbage {
        /// Which.
        bytes: Vec<u8>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} ms  {}", self.after, self.action)
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
            Self::Cut { by } => write!(f, "the connections that {by} has made are cut"),
            Self::Send { agent, message } => write!(f, "agent{agent} sends {message:?}"),
            Self::UnauthenticatedConnect {
                server,
                sockets,
                transport,
                opening,
                leave_after,
                again_for,
                hold_on,
            } => {
                let leave = leave_after.map(|after| format!(", and close after {after} ms"));
                let leave = leave.unwrap_or_default();
                let again = format!(", and again for {again_for} ms");
                let again = if *again_for == 0 { "" } else { &again };
                let hold_on = if *hold_on { ", and hold on" } else { "" };
                write!(
                    f,
                    "unauthenticated remotes open {sockets} {transport:?} sockets to server{server}"
                )?;
                write!(f, " with {opening:?}{leave}{again}{hold_on}")
            }
            Self::Impersonate { server, opening, within } => {
                write!(
                    f,
                    "unauthenticated remotes answer for server{server} with {opening:?} for {within} ms"
                )
            }
            Self::Idle => f.write_str("nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Schedule, World};

    #[test]
    fn a_name_is_what_stands_in_files() {
        for seed in 0..50 {
            for step in Schedule::generate(seed, World::Core).steps {
                let written = serde_json::to_value(&step.action).unwrap();
                let name =
                    written.as_str().or_else(|| Some(written.as_object()?.keys().next()?.as_str()));
                assert_eq!(name, Some(step.action.name()));
            }
        }
    }
}
