//! The lifecycle of a connection, as one table: what each signal does in each phase.
//!
//! ```text
//! opener    PendingOutbound ──Opened──▶ Open{send, recv} ──both finished, all read──▶ retired
//!              │                         │         │
//!              │                         │         └─released after finish──▶ Lingering ──▶ retired
//!              │                         └─reset, session end, unread bytes left──▶ Ended ──read──▶ retired
//!              └─refused, deadline, released, session end──▶ retired
//! acceptor  PendingInbound ──accept──▶ Open …
//! ```
//!
//! Every phase has an exit that does not depend on the remote's goodwill: `PendingOutbound`,
//! `PendingInbound` and `Lingering` have a deadline, `Open` and `Ended` end with the application's
//! handle.

mod table;
#[cfg(test)]
mod tests;

use crate::ledger::Cause;
use crate::wire::ResetCode;

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// A dial of this end without an answer (extended dialect only).
    PendingOutbound,
    /// A dial of the remote that the application has not answered.
    PendingInbound(Early),
    /// Bytes may flow.
    Open { send: SendHalf, recv: RecvHalf },
    /// The application finished and released its handle; the session completes the end.
    Lingering(Linger),
    /// Nothing more travels; received bytes wait for the application. `complete`: they are all the
    /// bytes there were.
    Ended { cause: Cause, complete: bool },
}

/// The opener's direction before its dial is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Early {
    Open,
    Finished,
    /// The opener closed gracefully (base dialect): its bytes can still be read.
    Ended,
}

/// The direction toward the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SendHalf {
    Open,
    /// The application finished; queued bytes and the Finish are still to be sent.
    Finishing,
    Finished,
}

/// The direction from the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RecvHalf {
    Open,
    /// The remote finished; the application has not read everything yet.
    Finished,
    /// Finished and read to the end.
    Drained,
}

/// The event that a connection without a handle waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Linger {
    /// For its own queue to be sent.
    Flush(AfterFlush),
    /// For the remote's Finish.
    AwaitFinish,
}

/// What follows once the queue of a lingering connection is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AfterFlush {
    /// Wait: the remote has not finished.
    AwaitFinish,
    /// A reset: the remote sends bytes that nobody will read.
    Stop,
    /// The end of both directions: the remote has not finished, and the base dialect cannot wait
    /// for it.
    Close,
    /// Nothing: the remote has finished too.
    Done,
    /// The application's reset, whose code and text the row keeps. It follows the bytes written
    /// before it, as a TCP reset does, and the Finish of a direction that was `finished`.
    Reset { cause: Cause, finished: bool },
}

/// A signal of the remote. It may break the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemoteSignal {
    Opened,
    Data,
    Finish,
    Reset,
    /// The graceful end of both directions (base dialect).
    Eof,
}

/// A command of the application. The phase may not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Accept,
    Refuse(ResetCode),
    Finish,
    Reset(ResetCode),
    Release,
}

/// A signal of the session itself. Every phase has an answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionSignal {
    /// The transport has everything that was queued, the Finish included.
    Flushed,
    /// The remote finished and every byte of it was read.
    Drained,
    Deadline,
    /// The remote ignored flow control (base dialect).
    Overrun,
    /// Reconciliation found that the remote does not have the connection.
    NotListed,
    /// The remote goes away and never took this dial.
    NotTaken,
    SessionEnded,
}

/// Input of the table beside phase and signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Whether the dialect can finish one direction at a time.
    pub(crate) half_close: bool,
    /// Whether received bytes wait for the application.
    pub(crate) unread: bool,
    /// Whether bytes of the application wait for the transport.
    pub(crate) queued: bool,
}

/// The effect of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    To(Phase),
    /// Nothing more travels. Unread bytes keep the row as [`Phase::Ended`]; else it is retired.
    End {
        cause: Cause,
        complete: bool,
        wire: WireAction,
    },
    /// The application's reset, behind the bytes that are queued. For the application the
    /// connection has ended.
    ResetAfterFlush {
        cause: Cause,
        code: ResetCode,
        finished: bool,
    },
    /// The row is removed now, and its bytes with it.
    Retire {
        cause: Cause,
        wire: WireAction,
    },
}

/// The message to the remote about the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireAction {
    Nothing,
    /// A Reset with this code; an Error in the base dialect.
    Reset(ResetCode),
    /// The reset that the row kept until its bytes were sent.
    KeptReset,
    /// The graceful end of the base dialect. In the extended one the Finish was it.
    Close,
    /// The answer of the base dialect to an Error: the same Error.
    Echo,
}

/// The phase does not allow the application's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misuse;

/// A message that the lifecycle does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LifecycleViolation {
    /// Opened for a connection that the remote opened itself, or twice (P5.5).
    #[error("Opened for a connection that was not being opened")]
    UnexpectedOpened,
    /// Data or Finish for a dial that was not answered yet (P5.5).
    #[error("a message of a connection before its Opened")]
    BeforeOpened,
    /// Data or Finish after Finish (P5.5).
    #[error("a message of a connection after its Finish")]
    AfterFinish,
}

impl Phase {
    pub(crate) const OPEN: Self = Self::Open { send: SendHalf::Open, recv: RecvHalf::Open };

    /// Whether every byte that the remote sent, or will send, has arrived.
    pub(crate) const fn received_all(self) -> bool {
        match self {
            Self::PendingInbound(early) => !matches!(early, Early::Open),
            Self::Open { recv, .. } => !matches!(recv, RecvHalf::Open),
            Self::Lingering(linger) => matches!(linger, Linger::Flush(AfterFlush::Done)),
            Self::Ended { complete, .. } => complete,
            Self::PendingOutbound => false,
        }
    }

    /// Why the connection has ended for an application whose reset waits for the bytes ahead of
    /// it.
    pub(crate) const fn resetting(self) -> Option<Cause> {
        match self {
            Self::Lingering(Linger::Flush(AfterFlush::Reset { cause, .. })) => Some(cause),
            _ => None,
        }
    }

    /// Whether the queue is sent to its end, and something follows it.
    pub(crate) const fn is_flushing(self) -> bool {
        matches!(
            self,
            Self::Open { send: SendHalf::Finishing, .. } | Self::Lingering(Linger::Flush(_))
        )
    }

    /// Whether the application may write.
    pub(crate) const fn is_writable(self) -> bool {
        matches!(self, Self::Open { send: SendHalf::Open, .. })
    }

    /// Whether the remote has the connection, too, as far as this end knows.
    pub(crate) const fn is_live(self) -> bool {
        !matches!(self, Self::Ended { .. } | Self::PendingInbound(Early::Ended))
    }

    /// Whether bytes that arrive are kept for the application.
    pub(crate) const fn delivers(self) -> bool {
        matches!(self, Self::PendingInbound(Early::Open) | Self::Open { recv: RecvHalf::Open, .. })
    }
}
