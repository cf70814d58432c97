//! Codes of resets and of the end of a session.

use core::fmt;

/// Why a connection was reset.
///
/// Unknown codes are kept: a newer end may have reasons that this one has not heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResetCode(u64);

impl ResetCode {
    /// The application dropped or reset the connection.
    pub const CANCELLED: Self = Self(0);
    /// The target could not be reached.
    pub const DIAL_FAILED: Self = Self(1);
    /// The acceptor's policy does not allow the target.
    pub const DIAL_REFUSED: Self = Self(2);
    /// The target did not answer in time.
    pub const DIAL_TIMEOUT: Self = Self(3);
    /// A limit of the acceptor is reached.
    pub const LIMIT: Self = Self(4);
    /// The acceptor takes no new connections.
    pub const GOING_AWAY: Self = Self(5);
    /// Nobody reads what you send.
    pub const STOPPED: Self = Self(6);
    /// The connection made no progress for too long.
    pub const STALLED: Self = Self(7);
    /// Reconciliation did not list the connection.
    pub const NOT_LISTED: Self = Self(8);
    /// More Data came than there was room for.
    pub const OVERRUN: Self = Self(9);
    /// A peer server has no session of the client that was to be dialled through it. Another one
    /// may have; nobody was dialled.
    pub const NO_SUCH_CLIENT: Self = Self(10);
    /// The user's or the target's machine no longer answers: it was switched off, or its network is
    /// gone.
    pub const VANISHED: Self = Self(11);

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::CANCELLED => "cancelled",
            Self::DIAL_FAILED => "dial failed",
            Self::DIAL_REFUSED => "dial refused",
            Self::DIAL_TIMEOUT => "dial timed out",
            Self::LIMIT => "limit reached",
            Self::GOING_AWAY => "going away",
            Self::STOPPED => "stopped reading",
            Self::STALLED => "stalled",
            Self::NOT_LISTED => "not listed",
            Self::OVERRUN => "overrun",
            Self::NO_SUCH_CLIENT => "no such client",
            Self::VANISHED => "vanished",
            Self(_) => return None,
        })
    }
}

/// Why a session takes no new connections.
///
/// Unknown codes are kept, as those of [`ResetCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoAwayCode(u64);

impl GoAwayCode {
    /// The operator drains this end.
    pub const DRAIN: Self = Self(0);
    /// A newer session of the same client took over.
    pub const REPLACED: Self = Self(1);
    /// The remote broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(2);
    /// A limit of the session is passed.
    pub const LIMIT: Self = Self(3);
    /// The remote was silent for too long.
    pub const TIMEOUT: Self = Self(4);
    /// This end stops.
    pub const SHUTDOWN: Self = Self(5);

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DRAIN => "drain",
            Self::REPLACED => "replaced",
            Self::PROTOCOL_ERROR => "protocol error",
            Self::LIMIT => "limit passed",
            Self::TIMEOUT => "timeout",
            Self::SHUTDOWN => "shutdown",
            Self(_) => return None,
        })
    }
}

impl From<u64> for ResetCode {
    fn from(code: u64) -> Self {
        Self(code)
    }
}

impl From<u64> for GoAwayCode {
    fn from(code: u64) -> Self {
        Self(code)
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_code(f, self.name(), self.0)
    }
}

impl fmt::Display for GoAwayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_code(f, self.name(), self.0)
    }
}

fn write_code(f: &mut fmt::Formatter<'_>, name: Option<&str>, code: u64) -> fmt::Result {
    match name {
        Some(name) => f.write_str(name),
        None => write!(f, "unknown code {code}"),
    }
}
