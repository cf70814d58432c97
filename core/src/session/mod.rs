//! One end of one tunnel.

mod commands;
mod config;
mod data;
mod dials;
mod ending;
mod error;
mod event;
mod flow;
mod incoming;
mod input;
mod keepalive;
mod lifecycle;
mod memory;
mod numbers;
mod outbox;
mod probe;
mod reconcile;
mod schedule;
mod seen;
mod table;
mod timeouts;
mod transmit;
mod turns;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::connection::{Connection, Phase, Standing};
use crate::ledger::Ledger;
use crate::timers::{Timer, Timers};
use crate::wire::{DecodeLimits, Dialect, Encoded, Settings};
use crate::{ConnectionId, Instant, Role};

pub use config::{Limits, SessionConfig, Timing};
pub use error::{Fault, NotPossible, OpenError, PeerMisbehaved, ReadError, SessionEnd, WriteError};
pub use event::Event;
pub use keepalive::Probe;
pub use transmit::Transmit;

use dials::Dials;
use keepalive::Keepalive;
use numbers::Numbers;
use outbox::{Control, Outbox};
use table::Table;
use turns::{Turns, give_back};

/// One end of one tunnel, without IO.
///
/// **Inputs** tell it what happened: [`handle_message`](Self::handle_message),
/// [`handle_transport_ping`](Self::handle_transport_ping) and `…_pong`,
/// [`handle_transport_ended`](Self::handle_transport_ended),
/// [`handle_timeout`](Self::handle_timeout). **Commands** come from the application:
/// [`open`](Self::open), [`accept`](Self::accept), [`refuse`](Self::refuse),
/// [`write`](Self::write), [`room`](Self::room), [`read`](Self::read),
/// [`finish`](Self::finish), [`reset`](Self::reset), [`release`](Self::release),
/// [`announce`](Self::announce), [`drain`](Self::drain), [`close`](Self::close),
/// [`abandon`](Self::abandon). **Outputs** are asked for after any of these:
///
/// - [`poll_transmit`](Self::poll_transmit), for as long as the transport takes messages. A full
///   transport stops this and nothing else: inputs never wait for it.
/// - [`poll_event`](Self::poll_event), until there is none.
/// - [`poll_timeout`](Self::poll_timeout): when to call `handle_timeout` at the latest.
///
/// Every call carries the time. Time never goes backwards: an older value counts as the newest
/// one seen. Nothing that arrives can make a call panic; a panic is a bug here. When the session
/// ends, [`Event::Closed`] says so once, later inputs do nothing, and `poll_transmit` still gives
/// the farewell to the other end, if there is one.
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
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Session {
    role: Role,
    dialect: Dialect,
    config: SessionConfig,
    decode_limits: DecodeLimits,
    /// The newest time seen.
    now: Instant,
    numbers: Numbers,
    table: Table,
    /// Ours that wait for an answer.
    dials: Dials,
    /// The other end's that wait for an answer.
    dialled: Dials,
    outbox: Outbox,
    events: VecDeque<Event>,
    timers: Timers,
    keepalive: Keepalive,
    /// What the other end grants and bears; unknown until its first message.
    peer: Option<Settings>,
    /// Whether announcements of clients are taken from the other end.
    trusts_routes: bool,
    /// Connections that wait for room in the send budget, in turn, each once.
    budget_waiters: Turns,
    short_of_memory: bool,
    draining: bool,
    peer_going_away: bool,
    ended: Option<SessionEnd>,
    /// The last messages to the other end: at most one for each connection, and one.
    farewell: VecDeque<Encoded>,
}

impl Session {
    /// A session whose transport has just been established, at the end with this role.
    ///
    /// The dialect is what the two ends negotiated in the upgrade or preface.
    #[must_use]
    pub fn new(now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Self {
        let config = config.within_bounds();
        let mut session = Self {
            role,
            dialect,
            decode_limits: decode_limits(&config.limits, dialect),
            now,
            numbers: Numbers::new(role, dialect),
            table: Table::default(),
            dials: Dials::default(),
            dialled: Dials::default(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            timers: Timers::default(),
            keepalive: Keepalive::new(now),
            peer: None,
            trusts_routes: false,
            budget_waiters: Turns::default(),
            short_of_memory: false,
            draining: false,
            peer_going_away: false,
            ended: None,
            farewell: VecDeque::new(),
            config,
        };
        session.start();
        session
    }

    /// Takes the other end's announcements of clients. Only for an end that was authenticated as
    /// a peer server; from any other end they are ignored.
    pub fn trust_routes(&mut self) {
        self.trusts_routes = true;
    }

    fn start(&mut self) {
        if self.dialect == Dialect::Extended {
            let settings = self.config.settings();
            self.outbox.push(self.now, Control::Settings(settings));
        }
        self.start_timers();
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        give_back(&mut self.events);
        event
    }

    /// What the session holds and has held.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger {
            queued_control: (self.outbox.queued_control() + self.farewell.len()) as u64,
            armed_timers: (self.timers.len() + usize::from(self.stall_since().is_some())) as u64,
            ..self.table.ledger()
        }
    }

    /// Why the session ended, once it has.
    #[must_use]
    pub const fn ended(&self) -> Option<&SessionEnd> {
        self.ended.as_ref()
    }

    /// Whether one of the ends takes no new dials.
    #[must_use]
    pub const fn is_going_away(&self) -> bool {
        self.draining || self.peer_going_away || self.ended.is_some()
    }

    /// The time that a message takes to the other end and back, smoothed; `None` before the first
    /// pong.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.keepalive.rtt()
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether nothing more travels on a connection while bytes of it are still to be read, and
    /// then whether they are all there were. `None` while it goes on, and once it is retired.
    #[must_use]
    pub fn over(&self, id: ConnectionId) -> Option<bool> {
        match self.table.get(id)?.phase {
            Phase::Over { clean, .. } => Some(clean),
            phase => phase.resetting().map(|_| false),
        }
    }

    /// What the two ends speak.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The armed timers, soonest first: tells which one a stuck session waits for.
    pub fn timers(&self) -> impl Iterator<Item = (Timer, Instant)> + '_ {
        let stall = self.stall_since().map(|at| (Timer::Stall, at + self.config.timing.stall));
        let mut timers: Vec<_> = self.timers.iter().chain(stall).collect();
        timers.sort_by_key(|(_, at)| *at);
        timers.into_iter()
    }

    /// Counts everything that the ledger says again, row by row: for tests.
    ///
    /// # Panics
    /// If the books are wrong, which is a bug in this crate.
    pub fn check(&self) {
        self.table.check_totals();
        let totals = self.table.totals();
        assert_eq!((self.dials.len(), self.dialled.len()), (totals.opening, totals.dialing));
        for standing in [Standing::Fresh, Standing::Waiting, Standing::Turn] {
            let of_it =
                self.outbox.ready.iter().filter(|(_, where_it_is)| *where_it_is == standing);
            self.check_queue("ready", of_it.map(|(id, _)| id), |row| row.standing == standing);
        }
        self.check_queue("flow", self.outbox.flow.iter(), |row| row.owes_flow);
        self.check_queue("budget", self.budget_waiters.iter(), |row| row.wants_budget);
        for (id, row) in self.table.iter() {
            let armed = row.deadline.is_none_or(|deadline| self.timers.contains(deadline));
            assert!(armed, "{id} has a timer that is not armed");
            assert!(row.send.sent() <= row.send.limit(), "{id} sent beyond its credit");
            let readable = row.recv.unread() > 0 || !matches!(row.phase, Phase::Over { .. });
            assert!(readable, "{id} is over, and nothing is left to read");
        }
        let of_rows = self.table.iter().filter(|(_, row)| row.deadline.is_some()).count();
        assert_eq!(self.timers.of_connections(), of_rows, "timers of connections that are gone");
    }

    /// A queue of connections holds each one whose row says so, once.
    fn check_queue(
        &self,
        name: &str,
        queue: impl Iterator<Item = ConnectionId>,
        stands: impl Fn(&Connection) -> bool,
    ) {
        let mut queued: Vec<_> = queue.collect();
        queued.sort_unstable();
        let rows = self.table.iter().filter(|(_, row)| stands(row));
        assert_eq!(queued, rows.map(|(id, _)| id).collect::<Vec<_>>(), "the queue {name}");
    }

    /// Credit and use of it in both directions of a connection, as running totals: `(sent, may
    /// send, granted)`. For tests of conservation: what one end may send, the other has granted.
    #[must_use]
    pub fn credit(&self, id: ConnectionId) -> Option<(u64, u64, u64)> {
        let row = self.table.get(id)?;
        Some((row.send.sent(), row.send.limit(), row.recv.granted()))
    }

    fn extended(&self) -> bool {
        self.dialect == Dialect::Extended
    }

    /// Takes the time of a call in: it never goes backwards.
    fn at(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
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
