//! One end of one tunnel.

mod base;
#[cfg(feature = "testkit")]
mod check;
mod close;
mod common;
mod config;
mod connections;
mod data;
mod dial;
mod event;
mod ids;
mod input;
mod lifecycle;
mod outbox;
mod schedule;
mod shared;
mod timeouts;
mod transmit;

use core::time::Duration;

use crate::connection::Phase;
use crate::ledger::Ledger;
use crate::registry::{NotEncodable, check_route};
use crate::wire::{ClientRoute, DecodeLimits, Dialect};
use crate::{ConnectionId, Instant, Role};

pub use config::{BaseLimits, Limits, SessionConfig, Timing};
#[cfg(feature = "testkit")]
pub use connections::LOOK_UPS;
pub use event::{
    Event, Fault, InvalidState, OpenError, ProtocolViolation, ReadEnd, ReadError, SessionEnd,
    WriteError,
};
pub use timeouts::Probe;
pub use transmit::Transmit;

use common::Common;
use connections::Connections;
use schedule::shrink_if_empty;

/// One end of one tunnel, without IO.
///
/// **Inputs** are what happened: [`handle_message`](Self::handle_message),
/// [`handle_transport_ping`](Self::handle_transport_ping) and `…_pong`,
/// [`handle_transport_ended`](Self::handle_transport_ended),
/// [`handle_timeout`](Self::handle_timeout). **Commands** come from the application:
/// [`open`](Self::open), [`accept`](Self::accept), [`refuse`](Self::refuse),
/// [`write`](Self::write), [`writable`](Self::writable), [`read`](Self::read),
/// [`finish`](Self::finish), [`reset`](Self::reset), [`release`](Self::release),
/// [`announce`](Self::announce), [`drain`](Self::drain), [`close`](Self::close),
/// [`force_close`](Self::force_close). **Outputs** are asked for after any of these:
///
/// - [`poll_transmit`](Self::poll_transmit), for as long as the transport takes messages. A full
///   transport stops this and nothing else: inputs never wait for it.
/// - [`poll_event`](Self::poll_event), until there is none.
/// - [`poll_timeout`](Self::poll_timeout): when to call `handle_timeout` at the latest.
///
/// Every call carries the time. Time never goes backwards: an older value counts as the newest one
/// seen. Nothing that arrives can make a call panic; a panic is a bug here. When the session ends,
/// [`Event::Closed`] reports it once, later inputs do nothing, and `poll_transmit` still gives the
/// last messages to the remote.
///
/// The handle to a connection is its id. The application gives it back with
/// [`release`](Self::release); until then, the connection may stay in the table.
///
/// ```
/// use bytes::Bytes;
/// use watertight_core::wire::Dialect;
/// use watertight_core::{Event, Instant, Role, Session, SessionConfig, Transmit};
///
/// let now = Instant::EPOCH;
/// let config = SessionConfig::default();
/// let mut server = Session::new(now, Role::Acceptor, Dialect::Extended, config.clone());
/// let mut agent = Session::new(now, Role::Connector, Dialect::Extended, config);
///
/// // The run loop: what one end transmits, the other one is given.
/// fn run(now: Instant, a: &mut Session, b: &mut Session) {
///     loop {
///         let (mut from, mut to) = (&mut *a, &mut *b);
///         let mut moved = false;
///         for _ in 0..2 {
///             while let Some(Transmit::Message(message)) = from.poll_transmit(now) {
///                 to.handle_message(now, message.to_bytes());
///                 moved = true;
///             }
///             (from, to) = (to, from);
///         }
///         if !moved {
///             return;
///         }
///     }
/// }
///
/// let id = server.open(now, "tcp/127.0.0.1:80", None)?;
/// run(now, &mut server, &mut agent);
/// let Some(Event::Incoming { id: dialled, target, .. }) = agent.poll_event() else { panic!() };
/// assert_eq!(target, "tcp/127.0.0.1:80");
/// agent.accept(now, dialled)?;
/// run(now, &mut server, &mut agent);
/// assert_eq!(server.poll_event(), Some(Event::Opened(id)));
///
/// server.write(now, id, &mut Bytes::from_static(b"hello"))?;
/// server.finish(now, id)?;
/// run(now, &mut server, &mut agent);
/// assert_eq!(agent.read(now, dialled, 1024)?, "hello");
/// assert!(agent.read(now, dialled, 1024)?.is_empty(), "end of file");
/// agent.finish(now, dialled)?;
/// run(now, &mut server, &mut agent);
///
/// assert!(server.ledger().is_quiet() && agent.ledger().is_quiet());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub struct Session {
    connections: Connections,
    common: Common,
    decode_limits: DecodeLimits,
}

impl Session {
    /// A session whose transport has just been established, at the end with this role.
    ///
    /// The dialect is what the two ends negotiated in the upgrade or preface.
    #[must_use]
    pub fn new(now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Self {
        let config = config.within_bounds();
        Self {
            connections: Connections::default(),
            decode_limits: decode_limits(&config.limits, dialect),
            common: Common::new(now, role, dialect, config),
        }
    }

    /// Takes the remote's announcements of clients. Only for a remote that was authenticated as a
    /// peer server; those of any other are ignored.
    pub fn trust_routes(&mut self) {
        self.common.trusts_routes = true;
    }

    /// Announces to a peer server that a client is reachable through this end, or no longer is.
    /// A route is announced once, and not after it was removed; removing one that was not announced,
    /// or not yet, does no harm.
    ///
    /// # Errors
    /// The remote would take it for another route, or end the session over it: see
    /// [`NotEncodable`].
    pub fn announce(
        &mut self,
        now: Instant,
        route: ClientRoute,
        reachable: bool,
    ) -> Result<(), NotEncodable> {
        let now = self.common.at(now);
        check_route(self.common.dialect, &route)?;
        if self.common.ended.is_none() {
            self.common.outbox.push_route(now, route, reachable);
        }
        Ok(())
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.common.events.pop_front();
        shrink_if_empty(&mut self.common.events);
        event.or_else(|| self.wake_budget_writer())
    }

    /// The counts of what the session holds and has removed.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let stall = usize::from(self.stall_since().is_some());
        let control = self.common.outbox.queued_control() + self.common.last_messages.len();
        Ledger {
            queued_control: control as u64,
            armed_timers: (self.armed_timers() + stall) as u64,
            ..self.connections.ledger()
        }
    }

    /// Why the session ended, once it has.
    #[must_use]
    pub const fn ended(&self) -> Option<&SessionEnd> {
        self.common.ended.as_ref()
    }

    /// Whether one of the ends takes no new dials.
    #[must_use]
    pub const fn is_going_away(&self) -> bool {
        self.common.is_going_away()
    }

    /// The time that a message takes to the remote and back, smoothed; `None` before the first
    /// pong.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.common.keepalive.rtt()
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.common.role
    }

    /// The message types that the two ends understand.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.common.dialect
    }

    /// How the unread bytes of a connection end on which nothing more travels. `None` while it is
    /// open, and once it is retired.
    #[must_use]
    pub fn read_end(&self, id: ConnectionId) -> Option<ReadEnd> {
        match self.connections.get(id)?.phase {
            Phase::Ended { complete: true, .. } => Some(ReadEnd::EndOfFile),
            Phase::Ended { complete: false, .. } => Some(ReadEnd::CutOff),
            phase => phase.resetting().map(|_| ReadEnd::CutOff),
        }
    }
}

fn decode_limits(limits: &Limits, dialect: Dialect) -> DecodeLimits {
    DecodeLimits {
        message: limits.max_message_in(dialect),
        text: limits.max_text,
        target: limits.max_target,
        client_key: limits.max_client_key,
        ids: limits.max_ids(),
    }
}
