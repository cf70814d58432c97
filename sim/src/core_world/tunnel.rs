//! The software under test, behind the few calls that the world uses.

use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::{InvalidState, OpenError, ReadError, WriteError};
use watertight_core::wire::{Dialect, GoAwayCode, ResetCode};
use watertight_core::{
    Cause, ConnectionId, Event, Instant, Ledger, Role, Session, SessionConfig, SessionEnd, Transmit,
};

/// Both ends of a tunnel, and the habits of the hosts around them.
///
/// The right one has sessions of the core and the habits that their documentation asks for; a seeded bug has
/// one of them wrong.
pub(crate) trait Tunnel {
    /// Its sessions.
    type End: End;

    /// A session whose transport has just been established.
    fn end(&self, now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Self::End;

    /// What its hosts do.
    fn habits(&self) -> Habits {
        Habits::RIGHT
    }
}

/// What hosts do with sessions that are replaced or over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// They close the session that a newer one of the same client replaces.
    pub(crate) closes_replaced: bool,
    /// They dial through the client's newest session.
    pub(crate) newest_wins: bool,
    /// They close the transport of a session that has ended.
    pub(crate) closes_transport: bool,
    /// They take a session out of their registry when it ends.
    pub(crate) removes_ended: bool,
}

/// An event that an end reports to its host and its applications.
#[derive(Clone, Debug)]
pub(super) enum ActorEvent {
    Incoming {
        id: ConnectionId,
        target: String,
    },
    Opened(ConnectionId),
    Readable(ConnectionId),
    Writable(ConnectionId),
    Ended(ConnectionId),
    Retired(ConnectionId, Retired),
    Route,
    GoingAway,
    /// `None` where the end is no session of the tunnel.
    Closed(Option<SessionEnd>),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retired {
    /// `None` where the end is no session of the tunnel.
    pub(super) cause: Option<Cause>,
    pub(super) complete: bool,
    pub(super) why: &'static str,
}

impl Habits {
    /// As they ought to be.
    pub(crate) const RIGHT: Self = Self {
        closes_replaced: true,
        newest_wins: true,
        closes_transport: true,
        removes_ended: true,
    };
}

/// The tunnel as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right;

impl Tunnel for Right {
    type End = Session;

    fn end(&self, now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Session {
        Session::new(now, role, dialect, config)
    }
}

macro_rules! end {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)+) => {
        /// One end of a tunnel: the calls of a [`Session`] that the world uses, under the same names. A
        /// broken one names the session that it wraps and its difference.
        pub(crate) trait End {
            /// The session behind it.
            fn session(&self) -> &Session;
            /// The same.
            fn session_mut(&mut self) -> &mut Session;
            /// Whether its host reads from its transport now: the right one always does.
            fn reads(&self) -> bool {
                true
            }
            $(
                #[doc = concat!("See [`Session::", stringify!($name), "`].")]
                fn $name(&mut self, $($arg: $type),*) $(-> $result)? {
                    // Not as a method: the trait's own one would be found first.
                    Session::$name(self.session_mut(), $($arg),*)
                }
            )+
        }

        /// The world is compiled once for all that is broken.
        impl End for Box<dyn End> {
            fn session(&self) -> &Session {
                (**self).session()
            }

            fn session_mut(&mut self) -> &mut Session {
                (**self).session_mut()
            }

            fn reads(&self) -> bool {
                (**self).reads()
            }

            $(
                fn $name(&mut self, $($arg: $type),*) $(-> $result)? {
                    (**self).$name($($arg),*)
                }
            )+
        }
    };
}

end! {
    fn handle_message(now: Instant, message: Bytes);
    fn handle_transport_ping(now: Instant);
    fn handle_transport_pong(now: Instant, payload: &[u8]);
    fn handle_transport_ended(now: Instant, reason: &str);
    fn handle_transport_received(now: Instant);
    fn handle_transport_sent(now: Instant);
    fn handle_invalid_transport(now: Instant, reason: &str);
    fn handle_timeout(now: Instant);
    fn open(now: Instant, target: &str, within: Option<Duration>)
        -> Result<ConnectionId, OpenError>;
    fn accept(now: Instant, id: ConnectionId) -> Result<(), InvalidState>;
    fn refuse(now: Instant, id: ConnectionId, code: ResetCode, text: &str)
        -> Result<(), InvalidState>;
    fn writable(now: Instant, id: ConnectionId) -> Result<usize, WriteError>;
    fn write(now: Instant, id: ConnectionId, data: &mut Bytes) -> Result<usize, WriteError>;
    fn read(now: Instant, id: ConnectionId, most: usize) -> Result<Bytes, ReadError>;
    fn finish(now: Instant, id: ConnectionId) -> Result<(), InvalidState>;
    fn reset(now: Instant, id: ConnectionId, code: ResetCode, text: &str)
        -> Result<(), InvalidState>;
    fn release(now: Instant, id: ConnectionId);
    fn drain(now: Instant, text: &str, within: Duration);
    fn close(now: Instant, code: GoAwayCode, text: &str);
    fn poll_transmit(now: Instant) -> Option<Transmit>;
    fn poll_event() -> Option<Event>;
    fn has_transmit() -> bool;
    fn poll_timeout() -> Option<Instant>;
    fn ledger() -> Ledger;
    fn credit(id: ConnectionId) -> Option<(u64, u64, u64)>;
}

impl End for Session {
    fn session(&self) -> &Session {
        self
    }

    fn session_mut(&mut self) -> &mut Session {
        self
    }
}

/// Why a session ended, once it has.
pub(super) fn ended<E: End>(end: &E) -> Option<&SessionEnd> {
    end.session().ended()
}
