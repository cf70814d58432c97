//! Behaviour of a dialled target.

use serde::{Deserialize, Serialize};

/// The plan of a dialled target, from the dial to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetPlan {
    /// What becomes of the dial.
    pub answer: Answer,
    /// Its reads.
    pub reads: TargetReads,
    /// Its writes.
    pub writes: TargetWrites,
    /// How it ends.
    pub end: TargetEnd,
}

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Accepted at once.
    Accept,
    /// Accepted after so many milliseconds, if anyone still waits.
    Late(u32),
    /// Refused.
    Refuse,
    /// Never answered.
    Hang,
}

/// The reads of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetReads {
    /// Everything, as it comes.
    All,
    /// So many bytes, then it stops reading and holds on.
    UpTo(u32),
}

/// The writes of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetWrites {
    /// As many bytes as it has read.
    Echo,
    /// So many bytes, at once.
    Pour(u32),
    /// So many bytes, once it has read the end of file.
    AfterEof(u32),
}

/// How a target ends. It writes all its bytes before it finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetEnd {
    /// Finishes its direction once it has read the end of file and written everything.
    AfterEof,
    /// Finishes its direction once it has written everything, and reads on.
    AfterWriting,
    /// Resets the connection once it has read so many bytes.
    Reset(u32),
    /// Lets go of the connection once it has read so many bytes, without finishing.
    Drop(u32),
    /// Never.
    Never,
}

impl TargetPlan {
    /// Whether a dial of it is never answered.
    pub(crate) const fn hangs(&self) -> bool {
        matches!(self.answer, Answer::Hang)
    }

    /// Echoes until the remote finishes: the target of a probe.
    pub const ECHO: Self = Self {
        answer: Answer::Accept,
        reads: TargetReads::All,
        writes: TargetWrites::Echo,
        end: TargetEnd::AfterEof,
    };
}
