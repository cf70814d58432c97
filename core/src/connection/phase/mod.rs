//! The lifecycle of a connection, as one table: what each signal does in each phase.
//!
//! ```text
//! opener    Opening ──Opened──▶ Open{send, recv} ──both finished, read to the end──▶ retired
//!              │                 │         │
//!              │                 │         └─handle dropped after finish──▶ Lingering ──▶ retired
//!              │                 └─reset, session end, unread bytes left──▶ Over ──read──▶ retired
//!              └─refused, deadline, handle dropped, session end──▶ retired
//! acceptor  Dialing ──accept──▶ Open …
//! ```
//!
//! Every phase has a way out that does not depend on the other end's goodwill: `Opening`,
//! `Dialing` and `Lingering` have a deadline, `Open` and `Over` end with the application's handle.

mod table;
#[cfg(test)]
mod tests;

use crate::ledger::Cause;
use crate::wire::ResetCode;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// We dialled; the other end has not answered (extended dialect only).
    Opening,
    /// The other end dialled; the application has not answered.
    Dialing(Early),
    /// Bytes may flow.
    Open { send: SendHalf, recv: RecvHalf },
    /// The application finished and dropped its handle; the end of the conversation is on its way.
    Lingering(Linger),
    /// Nothing more travels; received bytes wait for the application. `clean` tells whether they
    /// are all the bytes there were.
    Over { cause: Cause, clean: bool },
}

/// What the opener has done before its dial was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Early {
    Open,
    Finished,
    /// It closed gracefully (base dialect): what it wrote can still be read.
    Over,
}

/// Our direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SendHalf {
    Open,
    /// The application finished; queued bytes and the Finish are still to be sent.
    Finishing,
    Finished,
}

/// The other end's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RecvHalf {
    Open,
    /// The other end finished; the application has not read everything yet.
    Finished,
    /// Finished and read to the end.
    Drained,
}

/// What a connection without a handle still waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Linger {
    /// For its own queue to be sent.
    Flush(Then),
    /// For the other end's Finish.
    Await,
}

/// What follows once a lingering connection's queue is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    /// The other end has not finished.
    Await,
    /// The other end sends bytes that nobody will read: tell it.
    Stop,
    /// The other end has not finished, and the base dialect cannot wait for it: the end of both
    /// directions.
    Close,
    /// The other end has finished too.
    Done,
    /// The reset of our application, whose code and text the row keeps. What was written before it
    /// arrives, as it does ahead of a TCP reset, and so does the Finish of a direction that it had
    /// `finished`.
    Reset { cause: Cause, finished: bool },
}

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    // From the other end.
    Opened,
    Data,
    Finish,
    Reset,
    /// The graceful end of both directions (base dialect).
    Eof,
    /// It ignored flow control (base dialect).
    Overrun,
    // From the application.
    Accept,
    Refuse(ResetCode),
    FinishWrite,
    Abort(ResetCode),
    Release,
    // From the session.
    /// Everything queued was handed to the transport, the Finish included.
    Flushed,
    /// The other end finished and every byte of it was read.
    Drained,
    Deadline,
    /// Reconciliation found that the other end does not have the connection.
    NotListed,
    /// The other end goes away and never took this dial.
    NotTaken,
    SessionEnded,
}

/// What the table needs to know beside phase and signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Whether the dialect can finish one direction at a time.
    pub(crate) half_close: bool,
    /// Whether received bytes wait for the application.
    pub(crate) unread: bool,
    /// Whether bytes of the application wait for the transport.
    pub(crate) queued: bool,
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    To(Phase),
    /// Nothing more travels. Unread bytes keep the row as [`Phase::Over`]; else it is retired.
    End {
        cause: Cause,
        clean: bool,
        tell: Tell,
    },
    /// The application's reset, behind the bytes that are queued. For the application the connection
    /// is over.
    ResetAfterFlush {
        cause: Cause,
        code: ResetCode,
        finished: bool,
    },
    /// The row goes now, and its bytes with it.
    Retire {
        cause: Cause,
        tell: Tell,
    },
    /// The other end broke the protocol: the session ends.
    Violation(Violation),
    /// The application may not do that here.
    Misuse,
}

/// What the other end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Nothing,
    /// A reset with this code, or in the base dialect an Error.
    Reset(ResetCode),
    /// The reset that was kept in the row until its bytes were sent.
    KeptReset,
    /// The base dialect's graceful end; the extended one has said it by its Finish.
    Close,
    /// The base dialect's answer to an Error: the same Error.
    Echo,
}

/// A message that the lifecycle does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// Opened for a connection that the other end opened itself, or twice.
    #[error("Opened for a connection that was not being opened")]
    UnexpectedOpened,
    /// Data or Finish for a dial that was not answered yet.
    #[error("a message of a connection before its Opened")]
    BeforeOpened,
    /// Data or Finish after Finish.
    #[error("a message of a connection after its Finish")]
    AfterFinish,
}

impl Phase {
    /// The phase of a connection that we open.
    pub(crate) const fn opening(answered: bool) -> Self {
        if answered { Self::Opening } else { Self::OPEN }
    }

    const OPEN: Self = Self::Open { send: SendHalf::Open, recv: RecvHalf::Open };

    /// Whether every byte that the other end sent, or will send, has arrived.
    pub(crate) const fn received_all(self) -> bool {
        match self {
            Self::Dialing(early) => !matches!(early, Early::Open),
            Self::Open { recv, .. } => !matches!(recv, RecvHalf::Open),
            Self::Lingering(linger) => matches!(linger, Linger::Flush(Then::Done)),
            Self::Over { clean, .. } => clean,
            Self::Opening => false,
        }
    }

    /// Why the connection is over for an application whose reset waits for the bytes ahead of it.
    pub(crate) const fn resetting(self) -> Option<Cause> {
        match self {
            Self::Lingering(Linger::Flush(Then::Reset { cause, .. })) => Some(cause),
            _ => None,
        }
    }

    /// Whether the other end has the connection, too, as far as we know.
    pub(crate) const fn is_live(self) -> bool {
        !matches!(self, Self::Over { .. } | Self::Dialing(Early::Over))
    }

    /// Whether bytes that arrive are kept for the application.
    pub(crate) const fn delivers(self) -> bool {
        matches!(self, Self::Dialing(Early::Open) | Self::Open { recv: RecvHalf::Open, .. })
    }
}
