//! Two sessions joined by byte queues: the work that the benchmarks of the core measure.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use watertight_core::session::ReadError;
use watertight_core::wire::{Dialect, decode_frame, frame_prefix};
use watertight_core::{ConnectionId, Event, Instant, Role, Session, SessionConfig, Transmit};

/// Capacity for all frames of one exchange, so that nothing is copied a second time.
const WIRE: usize = 128 << 10;

/// A session between two ends, and the byte stream between them.
pub(super) struct Pair {
    dialer: Session,
    dialled: Session,
    now: Instant,
    wire: BytesMut,
}

impl Pair {
    pub(super) fn new(dialect: Dialect, max_connections: usize) -> Self {
        let mut config = SessionConfig::default();
        config.limits.max_connections = max_connections;
        config.limits.max_dials = max_connections;
        let now = Instant::EPOCH;
        let end = |role| Session::new(now, role, dialect, config.clone());
        let (dialer, dialled) = (end(Role::Acceptor), end(Role::Connector));
        let mut pair = Self { dialer, dialled, now, wire: BytesMut::new() };
        pair.settle();
        pair
    }

    /// A connection that both ends take for open.
    pub(super) fn open(&mut self) -> ConnectionId {
        let opened = self.dialer.open(self.now, "tcp/127.0.0.1:80", None);
        let id = opened.expect("the sessions are made for as many");
        self.settle();
        self.dialled.accept(self.now, id).expect("it has been dialled");
        self.settle();
        id
    }

    /// Writes at one end, and reads all of it at the other.
    pub(super) fn carry(&mut self, id: ConnectionId, payload: &Bytes) {
        // So that windows grow as between ends that are busy.
        self.now = self.now + Duration::from_micros(10);
        let mut left = payload.clone();
        while !left.is_empty() {
            self.dialer.write(self.now, id, &mut left).expect("the remote reads");
            self.settle();
            self.read(id);
            self.settle();
        }
    }

    /// The same on several connections at once.
    pub(super) fn carry_all(&mut self, ids: &[ConnectionId], payload: &Bytes) {
        self.now = self.now + Duration::from_micros(10);
        for id in ids {
            let mut left = payload.clone();
            self.dialer.write(self.now, *id, &mut left).expect("the remote reads");
            assert!(left.is_empty(), "it fits into a window");
        }
        self.settle();
        ids.iter().for_each(|id| self.read(*id));
        self.settle();
    }

    fn read(&mut self, id: ConnectionId) {
        loop {
            match self.dialled.read(self.now, id, usize::MAX) {
                Ok(_) => {}
                Err(ReadError::Blocked) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Ends a connection at both ends.
    pub(super) fn close(&mut self, id: ConnectionId) {
        self.dialer.release(self.now, id);
        self.settle();
        self.dialled.release(self.now, id);
        self.settle();
    }

    /// Until neither end has anything to send.
    fn settle(&mut self) {
        let Self { dialer, dialled, now, wire } = self;
        while cross(dialer, dialled, *now, wire) | cross(dialled, dialer, *now, wire) {}
    }
}

/// Whether anything went from one end to the other.
fn cross(from: &mut Session, to: &mut Session, now: Instant, wire: &mut BytesMut) -> bool {
    wire.reserve(WIRE);
    while let Some(transmit) = from.poll_transmit(now) {
        let Transmit::Message(message) = transmit else { continue };
        wire.extend_from_slice(&frame_prefix(message.len()));
        wire.extend_from_slice(&message.header);
        wire.extend_from_slice(&message.payload);
    }
    drop_events(from);
    let crossed = !wire.is_empty();
    while let Some(message) = decode_frame(wire, 1 << 20).expect("the frames are right") {
        to.handle_message(now, message);
    }
    drop_events(to);
    crossed
}

fn drop_events(end: &mut Session) {
    while let Some(event) = end.poll_event() {
        assert!(!matches!(event, Event::Closed(_)), "{event:?}");
    }
}
