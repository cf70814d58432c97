//! What goes to the other end, in which order: control first, then the connections in turn.

use bytes::Bytes;

use super::{Control, Session};
use crate::connection::{Linger, Phase, SendHalf, Signal, Standing, Then};
use crate::wire::{Body, Encoded, Message, data_header};
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

impl Session {
    /// The next thing to send, if there is any. What was returned counts as sent: call it only
    /// while the transport has room.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let now = self.at(now);
        let transmit = self.next_transmit(now);
        self.outbox.progressed(now);
        if transmit.is_none() {
            self.end_if_drained();
        }
        transmit.or_else(|| self.farewell.pop_front().map(Transmit::Message))
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something to send, or to end: a
    /// session that drains and has nothing more to do ends there.
    #[must_use]
    pub fn has_transmit(&self) -> bool {
        !self.outbox.is_empty() || !self.farewell.is_empty() || self.is_drained()
    }

    fn next_transmit(&mut self, now: Instant) -> Option<Transmit> {
        self.next_control()
            .or_else(|| self.next_sign_of_life(now))
            .or_else(|| self.next_flow(now))
            .or_else(|| self.next_list())
            .or_else(|| self.next_data())
    }

    fn next_control(&mut self) -> Option<Transmit> {
        if let Some(control) = self.outbox.pop_control() {
            return Some(self.control_message(control));
        }
        if let Some(id) = self.outbox.pop_not_found() {
            return Some(message(id, Body::Error { text: "connection not found".into() }));
        }
        let (route, reachable) = self.outbox.pop_route()?;
        let body = if reachable { Body::AddClient(route) } else { Body::RemoveClient(route) };
        Some(message(ConnectionId::SESSION, body))
    }

    fn control_message(&mut self, control: Control) -> Transmit {
        let session = ConnectionId::SESSION;
        match control {
            Control::Settings(settings) => message(session, Body::Settings(settings)),
            Control::Connect { id, target, within_millis } => {
                self.table.update(id, |row| row.announced = true);
                message(id, Body::Connect { deadline: within_millis, target })
            }
            Control::Connection { id, body } => message(id, body),
            Control::GoingAway(body) => message(session, body),
        }
    }

    fn next_sign_of_life(&mut self, now: Instant) -> Option<Transmit> {
        let session = ConnectionId::SESSION;
        if let Some(opaque) = self.outbox.pong.take() {
            return Some(message(session, Body::Pong { opaque }));
        }
        if core::mem::take(&mut self.outbox.ping) {
            let opaque = self.keepalive.ping(now);
            return Some(if self.extended() {
                message(session, Body::Ping { opaque })
            } else {
                Transmit::TransportPing(Bytes::copy_from_slice(&opaque))
            });
        }
        None
    }

    fn next_flow(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(id) = self.outbox.flow.pop() {
            if let Some(body) = self.flow_message(now, id) {
                return Some(message(id, body));
            }
        }
        None
    }

    fn next_list(&mut self) -> Option<Transmit> {
        core::mem::take(&mut self.outbox.list).then(|| message(ConnectionId::SESSION, self.list()))
    }

    /// One message of the connection whose turn it is.
    fn next_data(&mut self) -> Option<Transmit> {
        let max = self.max_data();
        while let Some(id) = self.outbox.ready.next(max) {
            let payload = self.table.update(id, |row| {
                row.standing = Standing::Idle;
                row.send.take(max)
            });
            match payload {
                Some(payload) if !payload.is_empty() => {
                    self.after_data_taken(id, payload.len(), max);
                    let header = data_header(id);
                    return Some(Transmit::Message(Encoded { header, payload }));
                }
                Some(_) => {
                    if let Some(transmit) = self.next_finish(id) {
                        return Some(transmit);
                    }
                }
                None => {}
            }
        }
        None
    }

    fn after_data_taken(&mut self, id: ConnectionId, sent: usize, max: usize) {
        let schedule = &mut self.outbox.ready;
        self.table.update(id, |row| {
            let more = row.send.queued();
            if more > 0 || finishing(row.phase) {
                row.standing = schedule.goes_on(id, sent, more.min(max));
            } else {
                schedule.ends(sent);
            }
        });
        if !self.extended() {
            self.table.update(id, |row| row.flag.on_sent());
        }
        self.review_writer(id);
        self.linger_anew(id);
        if !self.budget_waiters.is_empty() {
            self.wake_budget_waiters();
        }
    }

    /// Everything of a connection is sent: if the application finished it, this is the place to
    /// say so.
    fn next_finish(&mut self, id: ConnectionId) -> Option<Transmit> {
        let phase = self.table.get(id)?.phase;
        if !finishing(phase) {
            return None;
        }
        // The table has no violation for this signal.
        self.apply(id, Signal::Flushed, "nobody reads this connection any more").ok();
        let cut_off =
            matches!(phase, Phase::Lingering(Linger::Flush(Then::Reset { finished: false, .. })));
        if self.extended() && !cut_off {
            return Some(message(id, Body::Finish));
        }
        // The base dialect has no Finish; an abandoned connection has its Error queued now, and one that
        // was reset its Reset.
        self.next_control()
    }

    /// The largest Data payload that both ends take.
    pub(super) fn max_data(&self) -> usize {
        let theirs = self.peer.map_or(u64::MAX, |peer| peer.max_data);
        self.config.limits.max_data.min(usize::try_from(theirs).unwrap_or(usize::MAX))
    }
}

const fn finishing(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Open { send: SendHalf::Finishing, .. } | Phase::Lingering(Linger::Flush(_))
    )
}

fn message(id: ConnectionId, body: Body) -> Transmit {
    Transmit::Message(Message::new(id, body).encode())
}
