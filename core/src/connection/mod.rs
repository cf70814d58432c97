//! One dialled stream inside a session.

mod buffers;
mod flow;
mod phase;

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::Instant;
use crate::ledger::Cause;
use crate::time::{Deadline, Timer};
use crate::wire::ResetCode;

pub(crate) use buffers::{RecvBuffer, SendBuffer};
pub(crate) use flow::{Excess, Flow, PauseFlag, Pressure};
pub use phase::LifecycleViolation;
pub(crate) use phase::{
    AfterFlush, Command, Context, Early, Linger, Phase, RecvHalf, RemoteSignal, SendHalf,
    SessionSignal, Step, WireAction,
};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// Why it was removed.
    pub cause: Cause,
    /// The remote's code, where it sent one.
    pub code: Option<ResetCode>,
    /// The remote's text, or this end's where it sent none. May be empty.
    pub text: String,
    /// Whether the remote finished its direction, and no byte that it sent was thrown away unread:
    /// the bytes read are all there were.
    pub complete: bool,
}

impl fmt::Display for ConnectionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.code, self.text.as_str()) {
            (Cause::RemoteReset | Cause::Refused, _, text) if !text.is_empty() => f.write_str(text),
            (Cause::RemoteReset | Cause::Refused, Some(code), _) => code.fmt(f),
            (cause, _, "") => write!(f, "connection ended: {cause}"),
            (cause, _, text) => write!(f, "connection ended: {cause}: {text}"),
        }
    }
}

impl core::error::Error for ConnectionEnd {}

/// A row of a session's table.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    pub(crate) send: SendBuffer,
    pub(crate) recv: RecvBuffer,
    pub(crate) flow: Flow,
    /// Why the connection ended, in the words of the end that ended it.
    pub(crate) close_reason: Option<Box<CloseReason>>,
    /// The deadline that is armed for the current phase.
    pub(crate) deadline: Option<Deadline>,
    /// Whether the remote can know of the connection: its Connect was sent, or came from it.
    pub(crate) announced: bool,
    /// Since when reconciliation lists lack it (base dialect).
    pub(crate) missing: Option<Missing>,
    pub(crate) scheduling: Scheduling,
    /// Whether the queue of flow control updates has it.
    pub(crate) owes_update: bool,
    /// Whether the queue for the session's send budget has it.
    pub(crate) wants_budget: bool,
}

/// Why a connection ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CloseReason {
    pub(crate) code: Option<ResetCode>,
    pub(crate) text: String,
}

/// A connection that reconciliation lists lack (base dialect).
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "testkit", derive(PartialEq, Eq, Hash))]
pub(crate) enum Missing {
    /// The ping of this number followed its Connect: a list that arrives before the answer may be
    /// older than the Connect.
    Asked(u64),
    /// Every list has lacked it since then.
    Since(Instant),
}

/// Where a connection stands among those with something to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "testkit", derive(Hash))]
pub(crate) enum Scheduling {
    /// It has nothing to send.
    #[default]
    Idle,
    /// In the list of new flows: it had nothing to send until now.
    New,
    /// In the list of old flows: it has used up its quantum and has more to send.
    Old,
    /// It sends the next message.
    Current,
}

impl Connection {
    pub(crate) fn new(
        phase: Phase,
        flow: Flow,
        announced: bool,
        deadline: Option<Deadline>,
    ) -> Self {
        debug_assert!(
            announced || !matches!(phase, Phase::PendingInbound(_)),
            "the remote does not know of its own dial"
        );
        debug_assert!(deadline.is_some() || phase == Phase::OPEN, "a pending dial has no deadline");
        Self {
            phase,
            send: SendBuffer::default(),
            recv: RecvBuffer::default(),
            flow,
            close_reason: None,
            deadline,
            announced,
            missing: None,
            scheduling: Scheduling::Idle,
            owes_update: false,
            wants_budget: false,
        }
    }

    /// Bytes that may be taken from the application, if at most `capacity` are to be queued.
    pub(crate) fn writable(&self, capacity: usize) -> usize {
        capacity.saturating_sub(self.send.queued()).min(self.flow.writable(self.send.written()))
    }

    /// Whether this timer is armed for it.
    pub(crate) fn waits_for(&self, timer: Timer) -> bool {
        self.deadline.is_some_and(|deadline| deadline.timer == timer)
    }

    /// How the connection ended, for the application.
    pub(crate) fn end(&self, cause: Cause) -> ConnectionEnd {
        let CloseReason { code, text } = self.close_reason.as_deref().cloned().unwrap_or_default();
        ConnectionEnd { cause, code, text, complete: self.phase.received_all() }
    }
}
