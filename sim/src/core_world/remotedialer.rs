//! An agent that behaves as remotedialer v0.6.2 does, quirks included (its `session.go`,
//! `connection.go`, `back_pressure.go`, `readbuffer.go`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::{ReadError, WriteError};
use watertight_core::wire::{Body, DecodeLimits, Dialect, EOF, Encoded, Message};
use watertight_core::{ConnectionId, Instant, Transmit};

use super::frame::connection;
use super::tunnel::{ActorEvent, Retired};
use crate::schedule::{Timing, millis};

/// Unread bytes above which it sends Pause.
const FULL: usize = 2 << 20;
/// Unread bytes below which it sends Resume.
const LOW: usize = FULL / 8;
/// What its socket holds before its writers wait for that.
const SOCKET: usize = 64 << 10;
/// The error text of a connection that was closed without an error.
const CLOSED: &str = EOF;

/// One session of such an agent.
#[derive(Debug)]
pub(super) struct Remotedialer {
    timing: Times,
    connections: BTreeMap<ConnectionId, Connection>,
    next_id: i64,
    outbox: VecDeque<Encoded>,
    outbox_bytes: usize,
    event: VecDeque<ActorEvent>,
    ping: bool,
    next_ping: Instant,
    next_list: Instant,
    received: Instant,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    ping: Duration,
    list: Duration,
    silence: Duration,
    dial: Duration,
}

#[derive(Debug, Default)]
struct Connection {
    /// The one flag of `backPressure`, for both directions.
    paused: bool,
    /// Its writer sleeps until a Resume wakes it.
    asleep: bool,
    /// Its writer waits for the socket.
    waits: bool,
    /// Its reader waits for bytes.
    thirsty: bool,
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// When the dial of its target is given up, while it is in flight.
    dialling: Option<Instant>,
    /// It is out of the session's map, with the error text of the remote.
    removed: Option<String>,
}

impl Remotedialer {
    pub(super) fn new(now: Instant, timing: &Timing) -> Self {
        let timing = Times {
            ping: millis(timing.ping_interval),
            list: millis(timing.reconcile),
            silence: millis(timing.silence),
            dial: millis(timing.accept),
        };
        Self {
            timing,
            connections: BTreeMap::new(),
            next_id: 0,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            event: VecDeque::new(),
            ping: false,
            next_ping: now,
            next_list: now + timing.list,
            received: now,
            ended: false,
        }
    }

    /// `Session.serveMessage`
    pub(super) fn handle_message(&mut self, now: Instant, message: Bytes) {
        self.received = now;
        let limits = DecodeLimits::default();
        let Ok(message) = Message::decode(message, Dialect::Base, &limits) else { return };
        let id = message.connection;
        match message.body {
            Body::Connect { target, .. } => self.on_connect(now, id, target),
            Body::Data { payload, .. } => self.on_data(id, payload),
            Body::Error { text } => self.on_error(id, text),
            Body::Pause => self.update(id, |connection| connection.paused = true),
            Body::Resume => self.on_resume(id),
            _ => {}
        }
    }

    fn on_connect(&mut self, now: Instant, id: ConnectionId, target: String) {
        let dialling = Some(now + self.timing.dial);
        self.connections.insert(id, Connection { dialling, ..Connection::default() });
        self.event.push_back(ActorEvent::Incoming { id, target });
    }

    /// `readBuffer.Offer`
    fn on_data(&mut self, id: ConnectionId, payload: Bytes) {
        let Some(connection) = self.live(id) else {
            let text = format!("connection not found {id}/0/0");
            return self.send(id, &Body::Error { text });
        };
        connection.unread_bytes += payload.len();
        connection.unread.push_back(payload);
        let wakes = std::mem::take(&mut connection.thirsty);
        let full = connection.unread_bytes > FULL && !connection.paused;
        connection.paused |= full;
        if wakes {
            self.event.push_back(ActorEvent::Readable(id));
        }
        if full {
            self.send(id, &Body::Pause);
        }
    }

    /// `connection.tunnelClose`: it sends the same once more.
    fn on_error(&mut self, id: ConnectionId, text: String) {
        if self.live(id).is_some() {
            self.send(id, &Body::Error { text: text.clone() });
            self.remove(id, text);
        }
    }

    fn on_resume(&mut self, id: ConnectionId) {
        let Some(connection) = self.live(id) else { return };
        connection.paused = false;
        if std::mem::take(&mut connection.asleep) {
            self.event.push_back(ActorEvent::Writable(id));
        }
    }

    /// Received bytes stay readable; the error follows them.
    fn remove(&mut self, id: ConnectionId, text: String) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.removed = Some(text);
        if connection.dialling.take().is_some() {
            // The target is never reached, and the bytes that were sent to it are never read.
            (connection.unread, connection.unread_bytes) = (VecDeque::new(), 0);
        }
        self.event.push_back(ActorEvent::Ended(id));
        self.retire_if_read(id);
    }

    fn retire_if_read(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(text) = connection.removed.as_ref().filter(|_| connection.unread_bytes == 0)
        else {
            return;
        };
        let end = Retired { cause: None, complete: text == EOF, why: "closed by the remote" };
        self.connections.remove(&id);
        self.event.push_back(ActorEvent::Retired(id, end));
    }

    /// The application or the target ends it: `connection.Close`.
    fn close(&mut self, id: ConnectionId, text: &str) {
        if self.live(id).is_some() {
            self.send(id, &Body::Error { text: text.into() });
        }
        if self.connections.remove(&id).is_some() {
            let end = Retired { cause: None, complete: false, why: "closed" };
            self.event.push_back(ActorEvent::Retired(id, end));
        }
    }

    pub(super) fn open(&mut self, target: &str) -> ConnectionId {
        self.next_id += 1;
        let id = connection(self.next_id);
        self.connections.insert(id, Connection::default());
        self.send(id, &Body::Connect { deadline: 15_000, target: target.into() });
        self.event.push_back(ActorEvent::Opened(id));
        id
    }

    /// Whether the dial was still waited for.
    pub(super) fn accept(&mut self, id: ConnectionId) -> bool {
        let connection = self.live(id);
        connection.is_some_and(|connection| connection.dialling.take().is_some())
    }

    pub(super) fn refuse(&mut self, id: ConnectionId) {
        self.close(id, "refused");
    }

    /// `connection.Write`: how many bytes go before the writer sleeps.
    pub(super) fn writable(&mut self, id: ConnectionId) -> Result<usize, WriteError> {
        let full = self.outbox_bytes >= SOCKET;
        let Some(connection) = self.live(id) else { return Err(WriteError::Unknown) };
        if connection.paused {
            connection.asleep = true;
            return Err(WriteError::Blocked);
        }
        if full {
            connection.waits = true;
            return Err(WriteError::Blocked);
        }
        Ok(SOCKET)
    }

    pub(super) fn write(&mut self, id: ConnectionId, data: &mut Bytes) -> usize {
        let payload = std::mem::take(data);
        let taken = payload.len();
        self.send(id, &Body::Data { deadline: 15_000, payload });
        taken
    }

    /// `readBuffer.Read`
    pub(super) fn read(&mut self, id: ConnectionId, most: usize) -> Result<Bytes, ReadError> {
        let connection = self.connections.get_mut(&id).ok_or(ReadError::Unknown)?;
        let Some(front) = connection.unread.front_mut() else {
            connection.thirsty = true;
            return Err(ReadError::Blocked);
        };
        let bytes = front.split_to(most.min(front.len()));
        if front.is_empty() {
            connection.unread.pop_front();
        }
        connection.unread_bytes -= bytes.len();
        // `backPressure.Resume` notifies the remote and wakes no writer here.
        let resumes = connection.unread_bytes < LOW && connection.paused;
        if resumes && connection.removed.is_none() {
            connection.paused = false;
            self.send(id, &Body::Resume);
        }
        self.retire_if_read(id);
        Ok(bytes)
    }

    /// There is no half-close.
    pub(super) fn finish(&mut self, id: ConnectionId) {
        self.close(id, CLOSED);
    }

    pub(super) fn reset(&mut self, id: ConnectionId) {
        self.close(id, "reset");
    }

    pub(super) fn release(&mut self, id: ConnectionId) {
        self.close(id, CLOSED);
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.received = now;
    }

    pub(super) fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.outbox = VecDeque::new();
        self.outbox_bytes = 0;
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.connections.remove(&id);
            let end = Retired { cause: None, complete: false, why: "the session ended" };
            self.event.push_back(ActorEvent::Retired(id, end));
        }
        self.event.push_back(ActorEvent::Closed(None));
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn poll_event(&mut self) -> Option<ActorEvent> {
        self.event.pop_front()
    }

    pub(super) fn has_transmit(&self) -> bool {
        self.ping || !self.outbox.is_empty()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        if std::mem::take(&mut self.ping) {
            return Some(Transmit::TransportPing(Bytes::new()));
        }
        let message = self.outbox.pop_front()?;
        self.outbox_bytes -= message.len();
        if self.outbox_bytes < SOCKET {
            self.wake_writers();
        }
        if self.outbox.is_empty() {
            self.outbox = VecDeque::new();
        }
        Some(Transmit::Message(message))
    }

    fn wake_writers(&mut self) {
        for (id, connection) in &mut self.connections {
            if std::mem::take(&mut connection.waits) {
                self.event.push_back(ActorEvent::Writable(*id));
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let dials = self.connections.values().filter_map(|connection| connection.dialling);
        let own = [self.next_ping, self.next_list, self.received + self.timing.silence];
        own.into_iter().chain(dials).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if self.next_ping <= now {
            self.ping = true;
            self.next_ping = now + self.timing.ping;
        }
        if self.next_list <= now {
            self.next_list = now + self.timing.list;
            let live = self.connections.iter().filter(|(_, row)| row.removed.is_none());
            let ids = live.map(|(id, _)| *id).collect();
            self.send(ConnectionId::SESSION, &Body::SyncConnections { ids });
        }
        self.give_up_dials(now);
        if self.received + self.timing.silence <= now {
            self.end();
        }
    }

    fn give_up_dials(&mut self, now: Instant) {
        let late = |row: &Connection| row.dialling.is_some_and(|at| at <= now);
        let late = self.connections.iter().filter(|(_, row)| late(row));
        let ids: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in ids {
            self.close(id, "dial tcp: i/o timeout");
        }
    }

    fn live(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id).filter(|connection| connection.removed.is_none())
    }

    fn update(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection)) {
        self.live(id).map(change);
    }

    fn send(&mut self, id: ConnectionId, body: &Body) {
        if self.ended {
            return;
        }
        let message = Message::new(id, body.clone()).encode();
        self.outbox_bytes += message.len();
        self.outbox.push_back(message);
    }
}
