//! The actions of a schedule's steps.

use serde::{Deserialize, Serialize};

use super::knobs::is_zero;
use super::{Host, HostileMessage, Opening, StreamId, TargetPlan, Transport};

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
    /// The connections that a host has made break, in the middle of a message if one is under way; both
    /// ends are told by their systems.
    Cut {
        /// Which host: an agent, or a server that has a peer.
        by: Host,
    },

    /// A hostile agent says something.
    Say {
        /// Which agent.
        agent: u8,
        /// What it says.
        message: HostileMessage,
    },
    /// Strangers open sockets to a server, all at once, and greet it in one way. In the turmoil world
    /// only.
    StrangersConnect {
        /// Which server.
        server: u8,
        /// How many sockets.
        sockets: u16,
        /// What they speak.
        transport: Transport,
        /// What they say.
        opening: Opening,
        /// Milliseconds after which they close; without, they stay until the server closes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leave_after: Option<u32>,
        /// For so many milliseconds, those whose socket is closed connect again.
        #[serde(default, skip_serializing_if = "is_zero")]
        again_for: u32,
        /// They keep their ends open when the server has said that it says nothing more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hold_on: bool,
    },
    /// Strangers answer in a server's place whoever connects to it meanwhile. In the turmoil world only.
    Impersonate {
        /// Which server.
        server: u8,
        /// What they answer.
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
    Say: "say",
    StrangersConnect: "strangers_connect",
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
