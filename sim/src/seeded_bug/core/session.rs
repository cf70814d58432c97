//! Sessions that end twice, or not at all, or for the wrong reason.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use watertight_core::session::WriteError;
use watertight_core::wire::{Body, Dialect, GoAwayCode, Message};
use watertight_core::{
    ConnectionId, Event, Instant, Ledger, Session, SessionConfig, SessionEnd, Transmit,
};

use super::broken::{broken, decode};
use crate::core_world::frame::{Label, connection, kind};
use crate::core_world::tunnel::{End, Habits};

/// Longer than any schedule.
const EVER: Duration = Duration::from_secs(1_000_000);

broken! {
    /// R6: "a paused writer, then the session dies: task and buffers stay, while adds equal removes: a leak
    /// that the counters do not see".
    LeakedWriter { waits: bool }

    fn writable(&mut self, now: Instant, id: ConnectionId) -> Result<usize, WriteError> {
        let space = self.session.writable(now, id);
        self.waits = matches!(space, Err(WriteError::Blocked));
        space
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.session.poll_event()?;
        if matches!(event, Event::Closed(_)) && self.waits {
            std::mem::forget(std::hint::black_box(vec![0_u8; 100]));
        }
        Some(event)
    }
}

broken! {
    /// R7: "a large burst, then idle: megabytes of buffer capacity stay with each idle connection".
    KeptCapacity { buffer: Vec<u8> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        self.buffer.reserve(32 * message.len());
        self.session.handle_message(now, message);
    }
}

broken! {
    /// R21: "two closers at once: counted twice, or not at all".
    ClosedTwice { end: Option<SessionEnd> }

    fn poll_event(&mut self) -> Option<Event> {
        if let Some(end) = self.end.take() {
            return Some(Event::Closed(end));
        }
        let event = self.session.poll_event()?;
        if let Event::Closed(end @ SessionEnd::Closed { .. }) = &event {
            self.end = Some(end.clone());
        }
        Some(event)
    }
}

broken! {
    /// R22: "closing waits, holding a lock, for a task that wants that lock: deadlock; the agent never
    /// reconnects".
    CloseWaits {}

    fn close(&mut self, now: Instant, code: GoAwayCode, text: &str) {
        if self.session.ledger().live == 0 {
            self.session.close(now, code, text);
        }
    }
}

broken! {
    /// N1: received bytes are thrown away when the transport ends before the application has read them.
    EndDiscards { connections: Vec<ConnectionId> }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.session.poll_event()?;
        if let Event::Opened(id) | Event::Incoming { id, .. } = &event {
            self.connections.push(*id);
        }
        Some(event)
    }

    fn handle_transport_ended(&mut self, now: Instant, reason: &str) {
        self.session.handle_transport_ended(now, reason);
        self.connections.drain(..).for_each(|id| self.session.release(now, id));
    }
}

/// R24: "any client announces routes".
#[derive(Debug)]
pub(super) struct TrustsAnyone(Session);

impl From<Session> for TrustsAnyone {
    fn from(mut session: Session) -> Self {
        session.trust_routes();
        Self(session)
    }
}

impl End for TrustsAnyone {
    fn session(&self) -> &Session {
        &self.0
    }

    fn session_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

/// C1: "keepalive without a timeout: a dead peer is held for 15 minutes".
pub(super) fn never_silent(config: &mut SessionConfig) {
    config.timing.silence = EVER;
    config.timing.stall = EVER;
}

/// T1: "both directions must see end-of-file, without a timer: half-closed connections pile up".
pub(super) fn lingers(config: &mut SessionConfig) {
    config.timing.linger = EVER;
}

broken! {
    /// R5: "a peer ignores Pause: memory grows without bound". This one ignores it, and holds what
    /// comes.
    IgnoresPause {}

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        if Label::of(&message).kind != kind::PAUSE {
            self.session.handle_message(now, message);
        }
    }
}

/// See [`IgnoresPause`].
pub(super) fn holds_anything(config: &mut SessionConfig) {
    config.limits.base.unread_cap = usize::MAX;
    config.limits.base.unread_budget = usize::MAX;
}

broken! {
    /// Y5: "oversized first frame: panic".
    OversizedPanics {}

    fn handle_invalid_transport(&mut self, _now: Instant, reason: &str) {
        panic!("capacity overflow: {reason}");
    }
}

broken! {
    /// Y5: "credit overflow". Credit is counted in 32 bits.
    CreditOverflows { credit: u32 }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        if Label::of(&message).kind == kind::CREDIT
            && let Some(Body::Credit { bytes }) = decode(&message)
        {
            let added = u32::try_from(bytes).ok().and_then(|more| self.credit.checked_add(more));
            let Some(credit) = added else { panic!("attempt to add with overflow") };
            self.credit = credit;
        }
        self.session.handle_message(now, message);
    }
}

broken! {
    /// Y5: "unanswered control replies pile up: memory exhaustion". Every message to a connection that does
    /// not exist has its own answer in the queue.
    AnswersPileUp { answers: VecDeque<ConnectionId> }

    fn handle_message(&mut self, now: Instant, message: Bytes) {
        let label = Label::of(&message);
        let id = connection(label.connection);
        let base = self.session.dialect() == Dialect::Base;
        let speaks = matches!(label.kind, kind::DATA | kind::PAUSE | kind::RESUME);
        if base && speaks && self.session.credit(id).is_none() {
            self.answers.push_back(id);
        }
        self.session.handle_message(now, message);
    }

    fn has_transmit(&mut self) -> bool {
        !self.is_over() && !self.answers.is_empty() || self.session.has_transmit()
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let transmit = self.session.poll_transmit(now);
        if transmit.is_some() || self.is_over() {
            return transmit;
        }
        let id = self.answers.pop_front()?;
        let answer = Message::new(id, Body::Error { text: "connection not found".into() });
        Some(Transmit::Message(answer.encode()))
    }

    fn ledger(&mut self) -> Ledger {
        let mut ledger = self.session.ledger();
        if !self.is_over() {
            ledger.queued_control += self.answers.len() as u64;
        }
        ledger
    }
}

impl AnswersPileUp {
    fn is_over(&self) -> bool {
        self.session.ended().is_some()
    }
}

broken! {
    /// N3: "the transport took nothing for 30 s", while a slow link carried what was queued: only what
    /// is new counts as progress.
    OnlyNewMoves {}

    fn handle_transport_sent(&mut self, _now: Instant) {}
}

/// N4: it does not announce its timeout of silence, and is pinged as seldom as the remote likes. Nothing is
/// ever stalled.
pub(super) fn says_no_silence(config: &mut SessionConfig) {
    (config.timing.announce_silence, config.timing.stall) = (false, EVER);
}

/// R12: "an agent reconnects while its old session is half dead: every dial goes to the oldest
/// session".
pub(super) const OLDEST_WINS: Habits =
    Habits { closes_replaced: false, newest_wins: false, ..Habits::RIGHT };

/// R14: "a session fails on the server: its socket is never closed: the agent stays attached to
/// nothing".
pub(super) const LEAVES_SOCKET_OPEN: Habits = Habits { closes_transport: false, ..Habits::RIGHT };

/// R25: "its session stays and stays authorised": a session that has ended stays in the registry.
pub(super) const KEEPS_ENDED: Habits = Habits { removes_ended: false, ..Habits::RIGHT };
