//! The transitions of the search: every step that an application, the transport or time can take.

use std::fmt;

use watertight_core::ConnectionId;
use watertight_core::testkit::Side;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The application at this end does something.
    Call(Side, Call),
    /// The transport takes a message of this end.
    Transmit(Side),
    /// A message arrives at this end.
    Deliver(Side),
    /// The transport ends, as this end sees it: items in flight to it are lost, items that it has sent may
    /// still arrive. A cut that loses everything at once is one at either end.
    Lose(Side),
    /// Time passes until the next deadline of either end.
    Wait,
    /// This end learns that its deadline has come.
    Expire(Side),
}

/// A call of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Open,
    Drain,
    Close,
    Connection(ConnectionId, Deed),
}

/// A call on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    Accept,
    Refuse,
    Write,
    Read,
    Finish,
    Reset,
    Release,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(side, Call::Open) => write!(f, "{side}: open"),
            Self::Call(side, Call::Drain) => write!(f, "{side}: drain"),
            Self::Call(side, Call::Close) => write!(f, "{side}: close"),
            Self::Call(side, Call::Connection(id, deed)) => {
                write!(f, "{side}: {} {id}", format!("{deed:?}").to_lowercase())
            }
            Self::Transmit(side) => write!(f, "{side}: transmit"),
            Self::Deliver(side) => write!(f, "{side}: deliver"),
            Self::Lose(side) => write!(f, "{side}: the transport ends"),
            Self::Wait => f.write_str("time passes"),
            Self::Expire(side) => write!(f, "{side}: a deadline"),
        }
    }
}
