//! What strangers say, to a server and in the place of one.

use serde::{Deserialize, Serialize};

/// How a stranger opens a connection.
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
    /// With a whole greeting and a wrong token; in a server's place with an answer that proves nothing.
    Wrong,
    /// With a right greeting, or a right answer, and frames that are broken.
    Frames {
        /// How they are broken.
        frames: BrokenFrames,
    },
}

/// Frames that no end may send. A byte stream has fewer ways to break them.
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
