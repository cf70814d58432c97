//! What can go wrong, by whose fault.

use alloc::string::String;
use core::time::Duration;

use thiserror::Error;

use crate::ConnectionId;
use crate::connection::{ConnectionEnd, LifecycleViolation};
use crate::wire::{GoAwayCode, InvalidMessage};

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
    /// A message that cannot be read.
    #[error("invalid message: {0}")]
    InvalidMessage(#[from] InvalidMessage),
    /// Something other than a binary message, or a frame that cannot be read.
    #[error("invalid transport data: {0}")]
    InvalidTransport(String),
    /// A message came before Settings.
    #[error("the first message was not Settings")]
    SettingsMissing,
    /// Settings came twice.
    #[error("Settings sent twice")]
    SettingsTwice,
    /// A dial with an id from our half of the number space.
    #[error("Connect with id {0}, which is not the sender's to use")]
    ForeignId(ConnectionId),
    /// A dial with an id that was used before.
    #[error("Connect with id {0}, which was used before")]
    ReusedId(ConnectionId),
    /// A message for a connection that never was.
    #[error("message for connection {0}, which was never opened")]
    NeverOpened(ConnectionId),
    /// A message that the connection's state does not allow.
    #[error("connection {id}: {violation}")]
    Lifecycle {
        /// The connection.
        id: ConnectionId,
        /// What was not allowed.
        violation: LifecycleViolation,
    },
    /// More Data than was granted.
    #[error("connection {0}: Data beyond its credit")]
    CreditExceeded(ConnectionId),
    /// More Data in one message than Settings allow.
    #[error("connection {0}: Data message longer than allowed")]
    DataTooLong(ConnectionId),
    /// Credit beyond what can be counted.
    #[error("connection {0}: credit overflows")]
    CreditOverflow(ConnectionId),
    /// It made us answer and did not read the answers.
    #[error("{0} control messages wait to be sent and none is read")]
    AnswersUnread(usize),
    /// A message that only another kind of end may send.
    #[error("{0} is not allowed here")]
    NotAllowed(&'static str),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// We closed it.
    #[error("closed: {text}")]
    Closed {
        /// What the remote was told.
        code: GoAwayCode,
        /// In words.
        text: String,
    },
    /// It was drained: the last connection ended, or the time was over.
    #[error("drained")]
    Drained,
    /// The remote closed it and said why.
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
        /// What is allowed.
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
    /// There is no room now; an [`Event::Writable`](super::Event::Writable) follows.
    #[error("no room now")]
    Blocked,
    /// The application finished this direction before.
    #[error("this direction was finished")]
    Finished,
    /// The connection has ended.
    #[error(transparent)]
    Ended(ConnectionEnd),
    /// There is no such connection any more; [`Event::Retired`](super::Event::Retired) says why.
    #[error("no such connection")]
    Unknown,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// There is nothing now; an [`Event::Readable`](super::Event::Readable) follows.
    #[error("nothing to read now")]
    Blocked,
    /// The application has reset the connection.
    #[error(transparent)]
    Ended(ConnectionEnd),
    /// There is no such connection any more; [`Event::Retired`](super::Event::Retired) says why,
    /// and whether this is an end of file.
    #[error("no such connection")]
    Unknown,
}

/// The connection is not one that the application can do that to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("connection {0} is gone or in another state")]
pub struct InvalidState(pub ConnectionId);
