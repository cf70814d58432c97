//! One end of a link: what sits there, and who has connections through it.

use watertight_core::{ConnectionId, Instant};

use super::actor::Actor;
use super::frame::connection;
use super::stream::Role;
use super::tunnel::End;

/// One end of a link.
#[derive(Debug)]
pub(super) struct Endpoint<E> {
    pub(super) actor: Actor<E>,
    pub(super) handles: Vec<Handle>,
    /// Bytes that arrived for connections whose dial nobody has seen yet.
    pub(super) early: Vec<(ConnectionId, u64)>,
    pub(super) timeout: Option<Instant>,
    /// Something happened to it since it was looked at.
    pub(super) touched: bool,
    /// How often it said that its session is over.
    pub(super) closed: u64,
    /// Whether the end of its session was counted.
    pub(super) counted: bool,
    /// When its transport is closed, however much of the farewell is left.
    pub(super) farewell_until: Option<Instant>,
    /// Whether it has closed its transport.
    pub(super) shut: bool,
    /// Whether its host has been told that the session is over.
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
    /// It has something to do. It tries again what was blocked only when it is told to: an event
    /// that does not come is a hang.
    pub(super) ready: bool,
    pub(super) write_blocked: bool,
    pub(super) read_blocked: bool,
    pub(super) released: bool,
    /// It was told that nothing more travels.
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

    /// What has arrived for a connection before its dial was seen.
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
