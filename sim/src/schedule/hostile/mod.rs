//! The messages of a hostile agent.

mod wire;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub(crate) use wire::unsigned;

/// A message of a hostile agent. Numbers are as on the wire.
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
    /// The payload of a message.
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

impl HostileMessage {
    /// The first message, in the extended dialect, of an end that introduces itself.
    pub const INTRODUCTION: Self =
        Self::Settings { window: 1024, max_data: 1024, max_connections: 4 };

    /// The message number `turn` of a flood, from 0 on.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dials_of_a_flood_have_ids_of_their_own() {
        let dial = HostileMessage::Connect { id: 5, target: "t".into() };
        let third = HostileMessage::Connect { id: 9, target: "t".into() };
        assert_eq!(*dial.in_flood(0), dial);
        assert_eq!(*dial.in_flood(2), third);
        assert_eq!(*HostileMessage::Ping.in_flood(2), HostileMessage::Ping);
    }
}
