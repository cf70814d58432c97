//! Events for the application.

use alloc::string::String;
use core::time::Duration;

use super::SessionEnd;
use crate::ConnectionId;
use crate::connection::ConnectionEnd;
use crate::wire::{ClientRoute, GoAwayCode};

/// What happened that the application must know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The remote dials: answer with `accept` or `refuse` before `within` is over, or the
    /// session refuses for you.
    Incoming {
        /// The connection.
        id: ConnectionId,
        /// What to dial, as the remote words it: `tcp/host:port`, or with a peer's prefix.
        target: String,
        /// How long the dial may take.
        within: Duration,
    },
    /// Our dial succeeded. In the base dialect, which has no answer, it is assumed at once.
    Opened(ConnectionId),
    /// A read that was blocked can go on.
    Readable(ConnectionId),
    /// A write that was blocked can go on.
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
    /// A peer server says that a client is reachable through it.
    ClientAdded(ClientRoute),
    /// A peer server says that a client is no longer reachable through it.
    ClientRemoved(ClientRoute),
    /// The remote takes no new dials; what is open runs to its end.
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
