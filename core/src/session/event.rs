//! Events for the application, the end of a session, and errors of calls.

use alloc::string::String;
use core::time::Duration;

use thiserror::Error;

use crate::ConnectionId;
use crate::connection::{ConnectionEnd, LifecycleViolation};
use crate::wire::{ClientRoute, GoAwayCode, InvalidMessage};

/// A change that the application must know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The remote dials: answer with `accept` or `refuse` before `within` is over, or the
    /// session refuses for you.
    Incoming {
        /// The connection.
        id: ConnectionId,
        /// The target, as the remote sent it: `tcp/host:port`, or with a peer's prefix.
        target: String,
        /// How long the dial may take.
        within: Duration,
    },
    /// An outbound dial succeeded. In the base dialect, which has no answer, it is assumed at once.
    Opened(ConnectionId),
    /// A read that was blocked can continue.
    Readable(ConnectionId),
    /// A write that was blocked can continue.
    Writable(ConnectionId),
    /// Nothing more travels on the connection. Bytes may still be readable; `Retired` follows.
    Ended(ConnectionId),
    /// The connection left the table. The last event about it, exactly once.
    Retired {
        /// The connection.
        id: ConnectionId,
        /// How it ended.
        end: ConnectionEnd,
    },
    /// A peer server announces that a client is reachable through it.
    ClientAdded(ClientRoute),
    /// A peer server announces that a client is no longer reachable through it.
    ClientRemoved(ClientRoute),
    /// The remote takes no new dials; open connections run to their end.
    GoingAway {
        /// Its reason.
        code: GoAwayCode,
        /// Its words.
        text: String,
    },
    /// The session is over. The last event about it, exactly once.
    Closed(SessionEnd),
}

/// How the bytes of a connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadEnd {
    /// They are all that the remote sent.
    EndOfFile,
    /// The remote may have sent more.
    CutOff,
}

/// Who has to change something for it not to happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody: the session was meant to end.
    None,
    /// The remote broke the protocol.
    Remote,
    /// The path between the ends failed.
    Transport,
}

/// A rule of the protocol that the remote broke.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// A message that cannot be read (P1.1 to P2.3); the error names the rule.
    #[error("invalid message: {0}")]
    InvalidMessage(#[from] InvalidMessage),
    /// Something other than a binary message, or a frame that cannot be read (P3.1, P3.2).
    #[error("invalid transport data: {0}")]
    InvalidTransport(String),
    /// A message came before Settings (P5.1).
    #[error("the first message was not Settings")]
    SettingsMissing,
    /// Settings came twice (P5.1).
    #[error("Settings sent twice")]
    SettingsTwice,
    /// A dial with an id of this end's half of the ids (P4.1, P5.2).
    #[error("Connect with id {0}, which is not the sender's to use")]
    ForeignId(ConnectionId),
    /// A dial with an id that was used before (P4.1, P5.2).
    #[error("Connect with id {0}, which was used before")]
    ReusedId(ConnectionId),
    /// A message for a connection that was never opened (P5.3).
    #[error("message for connection {0}, which was never opened")]
    NeverOpened(ConnectionId),
    /// A message that the connection's state does not allow (P5.5).
    #[error("connection {id}: {violation}")]
    Lifecycle {
        /// The connection.
        id: ConnectionId,
        /// The rule that it broke.
        violation: LifecycleViolation,
    },
    /// More Data than was granted (P5.6).
    #[error("connection {0}: Data beyond its credit")]
    CreditExceeded(ConnectionId),
    /// More Data in one message than Settings allow (P5.6).
    #[error("connection {0}: Data message longer than allowed")]
    DataTooLong(ConnectionId),
    /// Credit whose sum exceeds 64 bits (P5.6).
    #[error("connection {0}: credit overflows")]
    CreditOverflow(ConnectionId),
    /// The remote caused answers and did not read them (P5.13).
    #[error("{0} control messages wait to be sent and none is read")]
    AnswersUnread(usize),
    /// A message of the base dialect in a session of the extended one (P5.17).
    #[error("{0} is not allowed here")]
    NotAllowed(&'static str),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The application closed it.
    #[error("closed: {text}")]
    Closed {
        /// The code that was sent to the remote.
        code: GoAwayCode,
        /// In words.
        text: String,
    },
    /// It was drained: the last connection ended, or the time was over.
    #[error("drained")]
    Drained,
    /// The remote closed it, with a reason.
    #[error("closed by the remote: {code}: {text}")]
    RemoteClosed {
        /// Its reason.
        code: GoAwayCode,
        /// Its words.
        text: String,
    },
    /// The remote broke the protocol.
    #[error("the remote broke the protocol: {0}")]
    ProtocolViolation(#[from] ProtocolViolation),
    /// The transport ended or failed.
    #[error("transport ended: {0}")]
    Transport(String),
    /// Nothing was heard of the remote.
    #[error("nothing heard of the remote for {0:?}")]
    Silent(Duration),
    /// The transport took nothing of what was queued.
    #[error("the transport took nothing for {0:?}")]
    Stalled(Duration),
}

impl SessionEnd {
    /// Whose fault it was.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Closed { .. } | Self::Drained | Self::RemoteClosed { .. } => Fault::None,
            Self::ProtocolViolation(_) => Fault::Remote,
            Self::Transport(_) | Self::Silent(_) | Self::Stalled(_) => Fault::Transport,
        }
    }
}

/// Why a dial could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The session has ended.
    #[error("the session has ended")]
    Closed,
    /// One of the ends is going away.
    #[error("the session is going away")]
    GoingAway,
    /// The target is longer than the remote reads.
    #[error("target of {length} bytes, longer than the {limit} that the remote takes")]
    TargetTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The target is no `proto/address`; a remotedialer end would end the session over it.
    #[error("a target without an address: `proto/address` is expected")]
    NoAddress,
    /// One end's limit on connections is reached.
    #[error("{0} connections are open, which is the limit")]
    TooManyConnections(usize),
    /// The limit on dials in flight is reached.
    #[error("{0} dials are in flight, which is the limit")]
    TooManyDials(usize),
    /// The dials of this target that wait for an answer have their share of those in flight.
    #[error("{0} dials of this target are in flight, which is its share")]
    TooManyDialsOfTarget(usize),
    /// The transport does not keep up with the control messages.
    #[error("too many messages wait for the transport")]
    Congested,
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    /// There is no capacity now; an [`Event::Writable`] follows.
    #[error("no room now")]
    Blocked,
    /// The application finished this direction before.
    #[error("this direction was finished")]
    Finished,
    /// The connection has ended.
    #[error(transparent)]
    Ended(ConnectionEnd),
    /// There is no such connection any more; [`Event::Retired`] has the
    /// cause.
    #[error("no such connection")]
    Unknown,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// There is nothing now; an [`Event::Readable`] follows.
    #[error("nothing to read now")]
    Blocked,
    /// The application has reset the connection.
    #[error(transparent)]
    Ended(ConnectionEnd),
    /// There is no such connection any more; [`Event::Retired`] has the
    /// cause, and whether this is an end of file.
    #[error("no such connection")]
    Unknown,
}

/// The connection is not one that the application can do that to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("connection {0} is gone or in another state")]
pub struct InvalidState(pub ConnectionId);
