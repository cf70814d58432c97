//! Drain, close, and all ends of a session.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::lifecycle::head;
use super::outbox::Control;
use super::{Event, Fault, ProtocolViolation, Session, SessionEnd};
use crate::connection::{Command, SessionSignal};
use crate::time::Timer;
use crate::wire::{Body, Dialect, Encoded, GoAwayCode, Message, ResetCode, printable};
use crate::{ConnectionId, Instant};

impl Session {
    /// Takes no new connections from now on; the open ones may run to their end, for at most
    /// `within`. Then the session ends as [`SessionEnd::Drained`]. A watertight remote is sent a
    /// GoAway; the base dialect has no message for it.
    pub fn drain(&mut self, now: Instant, text: &str, within: Duration) {
        let now = self.common.at(now);
        if self.common.ended.is_some() || self.common.draining {
            return;
        }
        self.common.draining = true;
        self.common.timers.arm(Timer::Drain, now + within);
        if self.common.dialect == Dialect::Extended {
            let body = self.go_away(GoAwayCode::DRAIN, text);
            self.common.outbox.push(now, Control::GoingAway(body));
        }
        self.end_if_drained();
    }

    /// Ends the session now. Bytes received completely stay readable; everything else is retired.
    ///
    /// The remote would take [`GoAwayCode::DRAIN`] for a [`drain`](Self::drain) of a session that
    /// continues; it counts as [`GoAwayCode::SHUTDOWN`] here.
    pub fn close(&mut self, now: Instant, code: GoAwayCode, text: &str) {
        self.common.at(now);
        let code = if code == GoAwayCode::DRAIN { GoAwayCode::SHUTDOWN } else { code };
        self.end(SessionEnd::Closed { code, text: text.to_string() });
    }

    /// Throws away what an ended session still holds for the application to read, and ends it
    /// before if it has not ended. Nothing is held afterwards, even if the application keeps its
    /// handles.
    pub fn force_close(&mut self, now: Instant) {
        self.close(now, GoAwayCode::SHUTDOWN, "closed by force");
        self.common.last_messages = VecDeque::new();
        let ids: Vec<_> = self.connections.ids().collect();
        for id in ids {
            self.command(now, id, |row| row.on_command(Command::Reset(ResetCode::CANCELLED), ""))
                .ok();
        }
        debug_assert!(self.connections.is_empty(), "a session closed by force holds connections");
        debug_assert!(self.ledger().is_settled(), "a session closed by force holds something");
    }

    /// The transport has ended. `reason` is text for people, and may come from the remote.
    pub fn handle_transport_ended(&mut self, now: Instant, reason: &str) {
        self.common.at(now);
        self.end(SessionEnd::Transport(printable(reason)));
        // No message reaches the remote any more.
        self.common.last_messages = VecDeque::new();
    }

    /// The transport delivered something that is no message of the protocol: a text message, a
    /// frame that cannot be read.
    pub fn handle_invalid_transport(&mut self, now: Instant, reason: &str) {
        self.common.at(now);
        self.end(ProtocolViolation::InvalidTransport(printable(reason)).into());
    }

    /// The remote goes away: softly, or at once.
    pub(super) fn on_go_away(&mut self, last: ConnectionId, code: GoAwayCode, text: String) {
        if code != GoAwayCode::DRAIN {
            return self.end(SessionEnd::RemoteClosed { code, text });
        }
        let first = !core::mem::replace(&mut self.common.remote_going_away, true);
        // Only pending dials can have been left: repeating it costs no scan of the table.
        let not_taken: Vec<_> = self.connections.shared().outbound.after(last).collect();
        self.signal_all(not_taken, SessionSignal::NotTaken, &text);
        if first {
            self.common.events.push_back(Event::GoingAway { code, text });
        }
    }

    /// The only function that ends a session.
    pub(super) fn end(&mut self, end: SessionEnd) {
        if self.common.ended.is_some() {
            return;
        }
        self.common.last_messages = self.last_messages_for(&end);
        self.common.events.push_back(Event::Closed(end.clone()));
        self.common.ended = Some(end);
        self.common.outbox.clear();
        self.common.timers.clear();
        let ids: Vec<_> = self.connections.ids().collect();
        self.signal_all(ids, SessionSignal::SessionEnded, "the session ended");
        self.connections.forget_schedule();
        debug_assert!(
            !self.waits_for_transport() && self.armed_timers() == 0,
            "an ended session acts"
        );
    }

    /// The last messages: the reason; in the base dialect, which cannot express it, Resumes. There
    /// are no more of them than the queue and the table may hold.
    fn last_messages_for(&self, end: &SessionEnd) -> VecDeque<Encoded> {
        match self.common.dialect {
            Dialect::Base => self.last_resumes(),
            Dialect::Extended => self.go_away_for(end).into_iter().collect(),
        }
    }

    fn go_away_for(&self, end: &SessionEnd) -> Option<Encoded> {
        let reachable = !matches!(end, SessionEnd::RemoteClosed { .. });
        let code = match end {
            SessionEnd::Closed { code, .. } => *code,
            SessionEnd::ProtocolViolation(ProtocolViolation::AnswersUnread(_)) => GoAwayCode::LIMIT,
            SessionEnd::Silent(_) | SessionEnd::Stalled(_) => GoAwayCode::TIMEOUT,
            _ if end.fault() == Fault::Remote => GoAwayCode::PROTOCOL_ERROR,
            _ => GoAwayCode::SHUTDOWN,
        };
        let text = match end {
            SessionEnd::Closed { text, .. } => text.clone(),
            end => end.to_string(),
        };
        reachable.then(|| Message::new(ConnectionId::SESSION, self.go_away(code, &text)).encode())
    }

    fn go_away(&self, code: GoAwayCode, text: &str) -> Body {
        let text = head(text, self.common.config.limits.max_text).to_string();
        Body::GoAway { last: self.common.ids.newest_remote(), code, text }
    }

    /// Applies a signal of the session to connections.
    pub(super) fn signal_all(
        &mut self,
        ids: impl IntoIterator<Item = ConnectionId>,
        signal: SessionSignal,
        text: &str,
    ) {
        for id in ids {
            self.connections.with(id, &mut self.common, |row| row.on_session(signal, text));
        }
    }

    /// A draining session ends when nothing is left to do.
    pub(super) fn end_if_drained(&mut self) {
        if self.is_drained() {
            self.end(SessionEnd::Drained);
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        let idle = self.connections.is_empty() && self.common.outbox.queued_control() == 0;
        self.common.draining && idle && self.common.ended.is_none()
    }
}
