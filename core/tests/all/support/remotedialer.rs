//! A model of a remotedialer end.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, Dialect, Message};

use super::{decode, id};

/// Unread bytes above which it sends Pause.
pub(crate) const FULL: usize = 2 << 20;

/// Unread bytes below which it sends Resume.
const LOW: usize = FULL / 8;

/// What its socket holds before its writers wait for that.
const SOCKET: usize = 1 << 20;

/// An end that behaves as remotedialer v0.6.2 does, quirks included (its `back_pressure.go`,
/// `readbuffer.go`, `connection.go`), as far as flow control and the ends of connections go.
#[derive(Debug, Default)]
pub(crate) struct Remotedialer {
    pub(crate) connections: BTreeMap<ConnectionId, Conn>,
    /// In flight to the remote.
    pub(crate) outbox: VecDeque<Bytes>,
}

#[derive(Debug, Default)]
pub(crate) struct Conn {
    /// The one flag of `backPressure`.
    paused: bool,
    /// The writer that waits for the flag, with what it wants to send.
    asleep: Option<Bytes>,
    unread: VecDeque<u8>,
    pub(crate) most_unread: usize,
    pub(crate) read: Vec<u8>,
    pub(crate) written: usize,
    /// It is out of the session's map.
    pub(crate) removed: bool,
}

impl Remotedialer {
    /// Whether the socket takes what a writer has.
    pub(crate) fn may_write(&self, id: ConnectionId) -> bool {
        let queued: usize = self.outbox.iter().map(Bytes::len).sum();
        let conn = &self.connections[&id];
        queued < SOCKET && conn.asleep.is_none() && !conn.removed
    }

    /// The application writes: `connection.Write`.
    pub(crate) fn write(&mut self, id: ConnectionId, data: Bytes) {
        let conn = self.connections.get_mut(&id).unwrap();
        conn.written += data.len();
        if conn.paused {
            conn.asleep = Some(data);
        } else {
            self.send_data(id, data);
        }
    }

    /// The application reads: `readBuffer.Read`.
    pub(crate) fn read(&mut self, id: ConnectionId, most: usize) {
        let conn = self.connections.get_mut(&id).unwrap();
        let most = most.min(conn.unread.len());
        if most == 0 {
            return;
        }
        conn.read.extend(conn.unread.drain(..most));
        if conn.unread.len() < LOW && conn.paused {
            // `backPressure.Resume` sends Resume and wakes nobody here.
            conn.paused = false;
            self.send(id, Body::Resume);
        }
    }

    /// The session's reader: `serveMessage`.
    pub(crate) fn take(&mut self, message: Bytes) {
        let Message { connection, body, .. } = decode(message, Dialect::Base);
        let conn = self.connections.entry(connection).or_default();
        match body {
            Body::Pause if !conn.removed => conn.paused = true,
            Body::Resume if !conn.removed => {
                conn.paused = false;
                if let Some(data) = conn.asleep.take() {
                    self.send_data(connection, data);
                }
            }
            Body::Data { payload, .. } if !conn.removed => self.offer(connection, &payload),
            Body::Error { text } if !conn.removed => {
                conn.removed = true;
                self.send(connection, Body::Error { text });
            }
            _ => {}
        }
    }

    /// `readBuffer.Offer`
    fn offer(&mut self, id: ConnectionId, payload: &[u8]) {
        let conn = self.connections.get_mut(&id).unwrap();
        conn.unread.extend(payload);
        conn.most_unread = conn.most_unread.max(conn.unread.len());
        if conn.unread.len() > FULL && !conn.paused {
            conn.paused = true;
            self.send(id, Body::Pause);
        }
    }

    /// Its tasks that no message will ever wake: their memory has leaked.
    pub(crate) fn asleep_for_ever(&self) -> usize {
        let asleep = |conn: &&Conn| conn.removed && conn.asleep.is_some();
        self.connections.values().filter(asleep).count()
    }

    /// The session ends: `Session.Close`.
    pub(crate) fn session_ended(&mut self) {
        self.connections.values_mut().for_each(|conn| conn.removed = true);
    }

    fn send_data(&mut self, id: ConnectionId, payload: Bytes) {
        self.send(id, Body::Data { deadline: 15_000, payload });
    }

    fn send(&mut self, connection: ConnectionId, body: Body) {
        let message = Message::new(id(connection.get()), body);
        self.outbox.push_back(message.encode().to_bytes());
    }
}
