//! What sits at an end of a link.

use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::{ReadError, WriteError};
use watertight_core::wire::ResetCode;
use watertight_core::{ConnectionId, Event, Instant, Ledger, Transmit};

use super::remotedialer::Remotedialer;
use super::tunnel::{ActorEvent, End, Retired};

/// A session of the tunnel, or what behaves as one.
#[derive(Debug)]
pub(super) enum Actor<E> {
    Session(Box<E>),
    Remotedialer(Box<Remotedialer>),
    Hostile(Hostile),
}

/// A hostile end, which sends the messages of its steps.
#[derive(Debug, Default)]
pub(super) struct Hostile {
    /// It reads nothing any more.
    pub(super) deaf: bool,
    ended: bool,
    event: bool,
}

impl<E: End> Actor<E> {
    pub(super) fn handle_message(&mut self, now: Instant, message: Bytes) {
        match self {
            Self::Session(end) => end.handle_message(now, message),
            Self::Remotedialer(end) => end.handle_message(now, message),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn handle_ping(&mut self, now: Instant) {
        match self {
            Self::Session(end) => end.handle_transport_ping(now),
            Self::Remotedialer(end) => end.received(now),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn handle_pong(&mut self, now: Instant, payload: &[u8]) {
        match self {
            Self::Session(end) => end.handle_transport_pong(now, payload),
            Self::Remotedialer(end) => end.received(now),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn handle_transport_ended(&mut self, now: Instant, reason: &str) {
        match self {
            Self::Session(end) => end.handle_transport_ended(now, reason),
            Self::Remotedialer(end) => end.end(),
            Self::Hostile(end) => end.ended = true,
        }
    }

    pub(super) fn handle_invalid_transport(&mut self, now: Instant, reason: &str) {
        match self {
            Self::Session(end) => end.handle_invalid_transport(now, reason),
            Self::Remotedialer(end) => end.end(),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Session(end) => end.handle_timeout(now),
            Self::Remotedialer(end) => end.handle_timeout(now),
            Self::Hostile(_) => {}
        }
    }

    /// Dials, or returns the reason why not.
    pub(super) fn open(
        &mut self,
        now: Instant,
        target: &str,
        within: Duration,
    ) -> Result<ConnectionId, watertight_core::session::OpenError> {
        match self {
            Self::Session(end) => end.open(now, target, Some(within)),
            Self::Remotedialer(end) => Ok(end.open(target)),
            Self::Hostile(_) => Err(watertight_core::session::OpenError::Closed),
        }
    }

    /// Whether the dial was still waited for.
    pub(super) fn accept(&mut self, now: Instant, id: ConnectionId) -> bool {
        match self {
            Self::Session(end) => end.accept(now, id).is_ok(),
            Self::Remotedialer(end) => end.accept(id),
            Self::Hostile(_) => false,
        }
    }

    pub(super) fn refuse(&mut self, now: Instant, id: ConnectionId) {
        match self {
            Self::Session(end) => {
                end.refuse(now, id, ResetCode::DIAL_REFUSED, "refused").ok();
            }
            Self::Remotedialer(end) => end.refuse(id),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn writable(&mut self, now: Instant, id: ConnectionId) -> Result<usize, WriteError> {
        match self {
            Self::Session(end) => end.writable(now, id),
            Self::Remotedialer(end) => end.writable(id),
            Self::Hostile(_) => Err(WriteError::Unknown),
        }
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        id: ConnectionId,
        data: &mut Bytes,
    ) -> Result<usize, WriteError> {
        match self {
            Self::Session(end) => end.write(now, id, data),
            Self::Remotedialer(end) => Ok(end.write(id, data)),
            Self::Hostile(_) => Err(WriteError::Unknown),
        }
    }

    pub(super) fn read(
        &mut self,
        now: Instant,
        id: ConnectionId,
        most: usize,
    ) -> Result<Bytes, ReadError> {
        match self {
            Self::Session(end) => end.read(now, id, most),
            Self::Remotedialer(end) => end.read(id, most),
            Self::Hostile(_) => Err(ReadError::Unknown),
        }
    }

    /// Whether it could be finished.
    pub(super) fn finish(&mut self, now: Instant, id: ConnectionId) -> bool {
        match self {
            Self::Session(end) => end.finish(now, id).is_ok(),
            Self::Remotedialer(end) => {
                end.finish(id);
                true
            }
            Self::Hostile(_) => false,
        }
    }

    pub(super) fn reset(&mut self, now: Instant, id: ConnectionId, code: ResetCode) {
        match self {
            Self::Session(end) => {
                end.reset(now, id, code, "reset").ok();
            }
            Self::Remotedialer(end) => end.reset(id),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn release(&mut self, now: Instant, id: ConnectionId) {
        match self {
            Self::Session(end) => end.release(now, id),
            Self::Remotedialer(end) => end.release(id),
            Self::Hostile(_) => {}
        }
    }

    pub(super) fn has_transmit(&mut self) -> bool {
        match self {
            Self::Session(end) => end.has_transmit(),
            Self::Remotedialer(end) => end.has_transmit(),
            Self::Hostile(_) => false,
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        match self {
            Self::Session(end) => end.poll_transmit(now),
            Self::Remotedialer(end) => end.poll_transmit(),
            Self::Hostile(_) => None,
        }
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        match self {
            Self::Session(end) => end.poll_timeout(),
            Self::Remotedialer(end) => end.poll_timeout(),
            Self::Hostile(_) => None,
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<ActorEvent> {
        match self {
            Self::Session(end) => loop {
                if let Some(event) = event(end.poll_event()?) {
                    return Some(event);
                }
            },
            Self::Remotedialer(end) => end.poll_event(),
            Self::Hostile(end) => {
                let news = end.ended && !std::mem::replace(&mut end.event, end.ended);
                news.then_some(ActorEvent::Closed(None))
            }
        }
    }

    /// Whether its session is over.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Session(end) => end.session().ended().is_some(),
            Self::Remotedialer(end) => end.has_ended(),
            Self::Hostile(end) => end.ended,
        }
    }

    /// Its ledger, if it is a session of the tunnel.
    pub(super) fn ledger(&mut self) -> Option<Ledger> {
        self.session().map(E::ledger)
    }

    pub(super) fn session(&mut self) -> Option<&mut E> {
        match self {
            Self::Session(end) => Some(end),
            Self::Remotedialer(_) | Self::Hostile(_) => None,
        }
    }
}

fn event(event: Event) -> Option<ActorEvent> {
    Some(match event {
        Event::Incoming { id, target, .. } => ActorEvent::Incoming { id, target },
        Event::Opened(id) => ActorEvent::Opened(id),
        Event::Readable(id) => ActorEvent::Readable(id),
        Event::Writable(id) => ActorEvent::Writable(id),
        Event::Ended(id) => ActorEvent::Ended(id),
        Event::Retired { id, end } => ActorEvent::Retired(
            id,
            Retired { cause: Some(end.cause), complete: end.complete, why: end.cause.name() },
        ),
        Event::ClientAdded(_) | Event::ClientRemoved(_) => ActorEvent::Route,
        Event::GoingAway { .. } => ActorEvent::GoingAway,
        Event::Closed(end) => ActorEvent::Closed(Some(end)),
        // An event that this world does not know has to be given a meaning here first.
        _ => return None,
    })
}
