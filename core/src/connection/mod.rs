//! One dialled stream inside a session: a row of its table.

mod pause_flag;
mod phase;
mod recv;
mod send;
mod window;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::Instant;
use crate::ledger::Cause;
use crate::timers::{Deadline, Timer};
use crate::wire::ResetCode;

pub(crate) use pause_flag::PauseFlag;
pub use phase::Violation;
pub(crate) use phase::{
    Context, Early, Linger, Phase, RecvHalf, SendHalf, Signal, Step, Tell, Then,
};
pub(crate) use recv::RecvBuffer;
pub(crate) use send::SendBuffer;
pub(crate) use window::Bounds;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// Why it was removed.
    pub cause: Cause,
    /// The other end's code, where it sent one.
    pub code: Option<ResetCode>,
    /// The other end's words, or ours where it had none. May be empty.
    pub text: String,
    /// Whether the other end finished its direction, and nothing of what it sent was thrown away
    /// unread: what was read is all there was.
    pub complete: bool,
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.code, self.text.as_str()) {
            (Cause::PeerReset | Cause::Refused, _, text) if !text.is_empty() => f.write_str(text),
            (Cause::PeerReset | Cause::Refused, Some(code), _) => code.fmt(f),
            (cause, _, "") => write!(f, "connection ended: {cause}"),
            (cause, _, text) => write!(f, "connection ended: {cause}: {text}"),
        }
    }
}

impl core::error::Error for ConnectionEnd {}

/// A row.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    pub(crate) send: SendBuffer,
    pub(crate) recv: RecvBuffer,
    /// Pause and Resume (base dialect).
    pub(crate) flag: PauseFlag,
    /// What the other end said when it ended the connection, or we did.
    pub(crate) farewell: Option<Box<(Option<ResetCode>, String)>>,
    /// The deadline that is armed for the current phase.
    pub(crate) deadline: Option<Deadline>,
    /// Whether the other end can know of the connection: its Connect was sent, or came from it.
    pub(crate) announced: bool,
    /// What is known of it while reconciliation lists lack it (base dialect).
    pub(crate) missing: Option<Missing>,
    /// Where the row stands among those with something to send.
    pub(crate) standing: Standing,
    /// Whether the row stands in the queue of those that owe credit, Pause or Resume.
    pub(crate) owes_flow: bool,
    /// Whether the row waits for room in the session's send budget.
    pub(crate) wants_budget: bool,
}

/// A connection that reconciliation lists lack (base dialect).
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "model", derive(PartialEq, Eq, Hash))]
pub(crate) enum Missing {
    /// A ping was sent after its Connect, the one of this number: a list that comes before the answer
    /// may be older than the Connect.
    Asked(u64),
    /// Every list has lacked it since then.
    Since(Instant),
}

/// Where a connection stands that has something to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) enum Standing {
    /// It has nothing to send.
    #[default]
    Idle,
    /// It had nothing to send until now.
    Fresh,
    /// It had a turn and has more to send.
    Waiting,
    /// It is its turn.
    Turn,
}

impl Connection {
    pub(crate) fn new(phase: Phase, send_limit: u64, recv: RecvBuffer, announced: bool) -> Self {
        Self {
            phase,
            send: SendBuffer::new(send_limit),
            recv,
            flag: PauseFlag::default(),
            farewell: None,
            deadline: None,
            announced,
            missing: None,
            standing: Standing::Idle,
            owes_flow: false,
            wants_budget: false,
        }
    }

    /// Bytes that may be taken from the application, for at most `capacity` to be queued.
    pub(crate) fn room(&self, capacity: usize) -> usize {
        self.send.room(capacity).min(self.flag.room())
    }

    /// Whether it waits for this timer.
    pub(crate) fn waits_for(&self, timer: Timer) -> bool {
        self.deadline.is_some_and(|deadline| deadline.timer == timer)
    }

    /// How the connection ended, for the application.
    pub(crate) fn end(&self, cause: Cause) -> ConnectionEnd {
        let (code, text) = self.farewell.as_deref().cloned().unwrap_or_default();
        ConnectionEnd { cause, code, text, complete: self.phase.received_all() }
    }
}
