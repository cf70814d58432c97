//! A link between an agent and its server, and its ends.

use watertight_core::{ConnectionId, Instant};

use super::actor::Actor;
use super::context::Role;
use super::frame::connection;
use super::pipe::Pipe;
use super::tunnel::End;

/// A transport connection.
pub(super) struct Link<E> {
    pub(super) number: u32,
    pub(super) agent: usize,
    pub(super) ends: [LinkEnd<E>; 2],
    /// Pipe `n` carries the bytes that end `n` sends.
    pub(super) pipes: [Pipe; 2],
    /// Whether something was done to it, or to the path below, that may end its sessions.
    pub(super) shaken: bool,
    /// When the next event happens here, as of the last check.
    pub(super) next: Option<Instant>,
    /// Whether something happened here since.
    pub(super) due: bool,
}

impl<E: End> Link<E> {
    /// Whether an end has something to process.
    pub(super) fn is_touched(&self) -> bool {
        self.ends.iter().filter_map(LinkEnd::view).any(|end| end.touched)
    }

    /// When an end does something by itself next.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let [agent, server] = &self.ends;
        let own = |connected: &LinkEnd<E>| {
            let (timeout, close_message) =
                connected.view().map_or((None, None), |end| (end.timeout, end.farewell_until));
            earlier(timeout, close_message)
        };
        earlier(own(agent), own(server))
    }

    /// When something arrives that an end reads.
    pub(super) fn next_arrival(&self, held: bool) -> Option<Instant> {
        let [up, down] = &self.pipes;
        let [agent, server] = &self.ends;
        let arrival = |pipe: &Pipe, receiver: &LinkEnd<E>| {
            let reads = receiver.view().is_none_or(Endpoint::reads);
            if reads { pipe.next(held) } else { None }
        };
        earlier(arrival(up, server), arrival(down, agent))
    }
}

/// The earlier one, where there is one.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Who sits at an end of a link.
pub(super) enum LinkEnd<E> {
    /// Nobody yet: the handshake is not done.
    Before,
    There(Endpoint<E>),
    Disconnected,
}

impl<E> LinkEnd<E> {
    pub(super) const fn there(&mut self) -> Option<&mut Endpoint<E>> {
        match self {
            Self::There(end) => Some(end),
            Self::Before | Self::Disconnected => None,
        }
    }

    pub(super) const fn view(&self) -> Option<&Endpoint<E>> {
        match self {
            Self::There(end) => Some(end),
            Self::Before | Self::Disconnected => None,
        }
    }
}

/// One end of a link.
#[derive(Debug)]
pub(super) struct Endpoint<E> {
    pub(super) actor: Actor<E>,
    pub(super) handles: Vec<Handle>,
    /// Bytes that arrived for connections whose dial was not processed yet.
    pub(super) early: Vec<(ConnectionId, u64)>,
    pub(super) timeout: Option<Instant>,
    /// Something happened to it since it was last processed.
    pub(super) touched: bool,
    /// Events that reported the end of its session.
    pub(super) closed: u64,
    /// Whether the end of its session was counted.
    pub(super) counted: bool,
    /// When its transport is closed, even with a part of the close message unsent.
    pub(super) farewell_until: Option<Instant>,
    /// Whether it has closed its transport.
    pub(super) shut: bool,
    /// Whether its host has been notified of the session's end.
    pub(super) parted: bool,
}

/// A connection that an application or a target holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle {
    pub(super) id: ConnectionId,
    pub(super) stream: usize,
    pub(super) role: Role,
    /// Its dial was answered.
    pub(super) open: bool,
    /// It has something to do. It tries a blocked operation again only after an event: an event that does not
    /// arrive is a hang.
    pub(super) ready: bool,
    pub(super) write_blocked: bool,
    pub(super) read_blocked: bool,
    pub(super) released: bool,
    /// It was notified that nothing more travels.
    pub(super) ended: bool,
    /// Bytes that its session has received for it.
    pub(super) arrived: u64,
}

impl<E: End> Endpoint<E> {
    /// Whether it takes in what arrives.
    pub(super) fn reads(&self) -> bool {
        match &self.actor {
            Actor::Session(end) => end.reads(),
            Actor::Remotedialer(_) => true,
            Actor::Hostile(hostile) => !hostile.deaf,
        }
    }

    pub(super) fn new(actor: Actor<E>) -> Self {
        Self {
            actor,
            handles: Vec::new(),
            early: Vec::new(),
            timeout: None,
            touched: true,
            closed: 0,
            counted: false,
            farewell_until: None,
            shut: false,
            parted: false,
        }
    }

    pub(super) fn handle(&mut self, id: ConnectionId) -> Option<&mut Handle> {
        self.handles.iter_mut().find(|handle| handle.id == id)
    }

    /// Bytes have arrived for a connection.
    pub(super) fn arrived(&mut self, number: i64, bytes: u64) {
        if self.actor.has_ended() {
            return;
        }
        match self.handles.iter_mut().find(|handle| handle.id.get() == number) {
            Some(handle) => handle.arrived += bytes,
            None => self.early.push((connection(number), bytes)),
        }
    }

    /// Events of a connection that arrived before its dial was processed.
    pub(super) fn take_early(&mut self, id: ConnectionId) -> u64 {
        let early = self.early.extract_if(.., |(of, _)| *of == id);
        early.map(|(_, bytes)| bytes).sum()
    }

    /// The application or the target at a connection has something to do.
    pub(super) fn rouse(&mut self, id: ConnectionId) {
        self.touched = true;
        if let Some(handle) = self.handle(id) {
            handle.ready = true;
        }
    }
}

impl Handle {
    pub(super) const fn new(id: ConnectionId, stream: usize, role: Role, open: bool) -> Self {
        Self {
            id,
            stream,
            role,
            open,
            ready: open,
            write_blocked: false,
            read_blocked: false,
            released: false,
            ended: false,
            arrived: 0,
        }
    }
}
