//! Messages for the remote, in order: control first, then data by the schedule.

use bytes::Bytes;

use super::Session;
use super::connections::Row;
use super::outbox::Control;
use crate::connection::{AfterFlush, Linger, Phase, Scheduling, SessionSignal};
use crate::wire::{Body, Dialect, Encoded, Message, data_header};
use crate::{ConnectionId, Instant};

/// Something for the transport to send.
#[derive(Clone, Debug)]
#[must_use]
pub enum Transmit {
    /// One message: one binary WebSocket message, or one frame of a byte stream.
    Message(Encoded),
    /// The transport's own ping (WebSocket); only in the base dialect.
    TransportPing(Bytes),
}

/// The answer of a connection whose turn it is.
enum Turn {
    Data(Bytes),
    /// Everything is sent, and the application has finished: a Finish is due, unless the end of the
    /// connection is expressed otherwise.
    Flushed {
        finish: bool,
    },
    Nothing,
}

impl Session {
    /// The next thing to send, if there is any. It counts as sent: call this only while the
    /// transport has space.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let now = self.common.at(now);
        let transmit = self.next_transmit(now);
        debug_assert!(
            transmit.is_none() || self.common.ended.is_none(),
            "an ended session has more to send than its last messages"
        );
        self.common.outbox.progressed(now);
        self.connections.progressed(now);
        if transmit.is_none() {
            self.end_if_drained();
        }
        transmit.or_else(|| self.common.last_messages.pop_front().map(Transmit::Message))
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something to send, or to end: a
    /// session that drains and has nothing more to do ends there.
    #[must_use]
    pub fn has_transmit(&self) -> bool {
        self.waits_for_transport() || !self.common.last_messages.is_empty() || self.is_drained()
    }

    fn next_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.next_control()
            .or_else(|| self.next_sign_of_life(now))
            .or_else(|| self.next_update())
            .or_else(|| self.next_list())
            .or_else(|| self.next_data())
    }

    fn next_control(&mut self) -> Option<Transmit> {
        if let Some(control) = self.common.outbox.pop_control() {
            return Some(self.control_message(control));
        }
        if let Some(id) = self.common.outbox.pop_not_found() {
            return Some(message(id, Body::Error { text: "connection not found".into() }));
        }
        let (route, reachable) = self.common.outbox.pop_route()?;
        let body = if reachable { Body::AddClient(route) } else { Body::RemoveClient(route) };
        Some(message(ConnectionId::SESSION, body))
    }

    fn control_message(&mut self, control: Control) -> Transmit {
        let session = ConnectionId::SESSION;
        match control {
            Control::Settings(settings) => message(session, Body::Settings(settings)),
            Control::Connect { id, target, within_millis } => {
                self.connections.with(id, &mut self.common, |row| row.announced = true);
                message(id, Body::Connect { deadline: within_millis, target })
            }
            Control::Connection { id, body } => message(id, body),
            Control::GoingAway(body) => message(session, body),
        }
    }

    fn next_sign_of_life(&mut self, now: Instant) -> Option<Transmit> {
        let session = ConnectionId::SESSION;
        if let Some(opaque) = self.common.outbox.pong.take() {
            return Some(message(session, Body::Pong { opaque }));
        }
        if core::mem::take(&mut self.common.outbox.ping) {
            let opaque = self.common.keepalive.ping(now);
            return Some(match self.common.dialect {
                Dialect::Base => Transmit::TransportPing(Bytes::copy_from_slice(&opaque)),
                Dialect::Extended => message(session, Body::Ping { opaque }),
            });
        }
        None
    }

    fn next_update(&mut self) -> Option<Transmit> {
        while let Some(id) = self.connections.next_update() {
            let body = self.connections.with(id, &mut self.common, |row| row.update());
            if let Some(body) = body.flatten() {
                return Some(message(id, body));
            }
        }
        None
    }

    fn next_list(&mut self) -> Option<Transmit> {
        core::mem::take(&mut self.common.outbox.list)
            .then(|| message(ConnectionId::SESSION, self.list()))
    }

    /// One message of the connection that the schedule names.
    fn next_data(&mut self) -> Option<Transmit> {
        let max = self.common.max_data();
        while let Some(id) = self.connections.next_ready(max) {
            match self.connections.with(id, &mut self.common, |row| row.take_data(max))? {
                Turn::Data(payload) => {
                    let header = data_header(id);
                    return Some(Transmit::Message(Encoded { header, payload }));
                }
                Turn::Flushed { finish: true } => return Some(message(id, Body::Finish)),
                // An Error or a Reset of the connection may be queued now.
                Turn::Flushed { finish: false } => {
                    if let Some(transmit) = self.next_control() {
                        return Some(transmit);
                    }
                }
                Turn::Nothing => {}
            }
        }
        None
    }
}

impl Row<'_> {
    /// Takes the payload of the next message, and goes back into the schedule if more follows it.
    fn take_data(&mut self, max: usize) -> Turn {
        debug_assert!(self.scheduling != Scheduling::Idle, "{} is not scheduled", self.id);
        self.scheduling = Scheduling::Idle;
        let payload = self.send.take(max);
        if payload.is_empty() {
            self.shared.ready.pass();
            return if self.phase.is_flushing() { self.flushed() } else { Turn::Nothing };
        }
        let (sent, more) = (payload.len(), self.send.queued().min(max));
        if more > 0 || self.phase.is_flushing() {
            self.scheduling = self.shared.ready.put_back(self.id, sent, more);
        } else {
            self.shared.ready.finish(sent);
        }
        self.flow.on_sent();
        self.review_writer();
        self.linger_anew();
        Turn::Data(payload)
    }

    /// Everything of the connection is sent, and the application has finished.
    fn flushed(&mut self) -> Turn {
        let cut_off = matches!(
            self.phase,
            Phase::Lingering(Linger::Flush(AfterFlush::Reset { finished: false, .. }))
        );
        self.on_session(SessionSignal::Flushed, "nobody reads this connection any more");
        Turn::Flushed { finish: self.session.dialect == Dialect::Extended && !cut_off }
    }
}

fn message(id: ConnectionId, body: Body) -> Transmit {
    Transmit::Message(Message::new(id, body).encode())
}
