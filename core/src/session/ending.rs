//! Drain, close, and every other end of a session.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::lifecycle::head;
use super::turns::Turns;
use super::{Control, Event, Fault, PeerMisbehaved, Session, SessionEnd};
use crate::connection::{Connection, Phase, Signal, Standing};
use crate::timers::Timer;
use crate::wire::{Body, Encoded, GoAwayCode, Message, ResetCode, printable};
use crate::{ConnectionId, Instant};

impl Session {
    /// Takes no new connections from now on; the open ones may run to their end, for at most
    /// `within`. Then the session ends as [`SessionEnd::Drained`]. The other end is told, where
    /// the dialect has words for it.
    pub fn drain(&mut self, now: Instant, text: &str, within: Duration) {
        let now = self.at(now);
        if self.ended.is_some() || self.draining {
            return;
        }
        self.draining = true;
        self.timers.arm(Timer::Drain, now + within);
        if self.extended() {
            let body = self.go_away(GoAwayCode::DRAIN, text);
            self.outbox.push(now, Control::GoingAway(body));
        }
        self.end_if_drained();
    }

    /// Ends the session now. What was received completely stays readable; all else is retired.
    ///
    /// The other end would take [`GoAwayCode::DRAIN`] for a [`drain`](Self::drain) of a session that goes
    /// on; it counts as [`GoAwayCode::SHUTDOWN`] here.
    pub fn close(&mut self, now: Instant, code: GoAwayCode, text: &str) {
        self.at(now);
        let code = if code == GoAwayCode::DRAIN { GoAwayCode::SHUTDOWN } else { code };
        self.end(SessionEnd::Closed { code, text: text.to_string() });
    }

    /// Lets go of what an ended session still holds for the application to read, and ends it
    /// before if it has not ended. Nothing is held afterwards, whatever the application does with
    /// its handles.
    pub fn abandon(&mut self, now: Instant) {
        self.close(now, GoAwayCode::SHUTDOWN, "abandoned");
        self.farewell = VecDeque::new();
        let ids: Vec<_> = self.table.ids().collect();
        for id in ids {
            self.apply(id, Signal::Abort(ResetCode::CANCELLED), "").ok();
        }
    }

    /// The transport has ended: `reason` in words, which may be the other end's.
    pub fn handle_transport_ended(&mut self, now: Instant, reason: &str) {
        self.at(now);
        self.end(SessionEnd::Transport(printable(reason)));
        // Nobody can be told any more.
        self.farewell = VecDeque::new();
    }

    /// The transport delivered something that is no message of the protocol: a text message, a
    /// frame that cannot be read.
    pub fn handle_invalid_transport(&mut self, now: Instant, reason: &str) {
        self.at(now);
        self.end(PeerMisbehaved::InvalidTransport(printable(reason)).into());
    }

    /// The other end goes away: softly, or at once.
    pub(super) fn on_go_away(&mut self, last: ConnectionId, code: GoAwayCode, text: String) {
        if code != GoAwayCode::DRAIN {
            return self.end(SessionEnd::PeerClosed { code, text });
        }
        let first = !core::mem::replace(&mut self.peer_going_away, true);
        // Only dials in flight can have been left: whoever says it in a loop costs no scan of the table.
        let not_taken: Vec<_> = self.dials.after(last).collect();
        for id in not_taken {
            // The table has no violation for this signal.
            self.apply(id, Signal::NotTaken, &text).ok();
        }
        if first {
            self.events.push_back(Event::GoingAway { code, text });
        }
    }

    /// The one way in which a session ends.
    pub(super) fn end(&mut self, end: SessionEnd) {
        if self.ended.is_some() {
            return;
        }
        self.farewell = self.farewell_for(&end);
        self.events.push_back(Event::Closed(end.clone()));
        self.ended = Some(end);
        self.outbox.clear();
        self.budget_waiters = Turns::default();
        self.timers.clear();
        let ids: Vec<_> = self.table.ids().collect();
        for id in ids {
            self.table.update(id, |row| {
                row.standing = Standing::Idle;
                (row.owes_flow, row.wants_budget) = (false, false);
                row.deadline = None;
            });
            // The table has no violation for this signal.
            self.apply(id, Signal::SessionEnded, "the session ended").ok();
        }
        debug_assert!(self.outbox.is_empty() && self.timers.len() == 0, "an ended session acts");
    }

    /// The last words: why, or in the base dialect, which has no words for that, what wakes the
    /// writers that would sleep on at the other end when the session is gone (bug R6). Those of
    /// connections that ended before are queued. There are no more than the queue and the table
    /// may hold.
    fn farewell_for(&self, end: &SessionEnd) -> VecDeque<Encoded> {
        if self.extended() {
            return self.go_away_for(end).into_iter().collect();
        }
        let asleep = |row: &Connection| {
            let there = row.announced && !matches!(row.phase, Phase::Over { .. });
            there && row.flag.may_be_set(row.send.sent())
        };
        let rows = self.table.iter().filter(|(_, row)| asleep(row)).map(|(id, _)| id);
        let ids = self.outbox.queued_resumes().chain(rows);
        ids.map(|id| Message::new(id, Body::Resume).encode()).collect()
    }

    fn go_away_for(&self, end: &SessionEnd) -> Option<Encoded> {
        let reachable = !matches!(end, SessionEnd::PeerClosed { .. });
        let code = match end {
            SessionEnd::Closed { code, .. } => *code,
            SessionEnd::PeerMisbehaved(PeerMisbehaved::AnswersUnread(_)) => GoAwayCode::LIMIT,
            SessionEnd::Silent(_) | SessionEnd::Stalled(_) => GoAwayCode::TIMEOUT,
            _ if end.fault() == Fault::Peer => GoAwayCode::PROTOCOL_ERROR,
            _ => GoAwayCode::SHUTDOWN,
        };
        let text = match end {
            SessionEnd::Closed { text, .. } => text.clone(),
            end => end.to_string(),
        };
        reachable.then(|| Message::new(ConnectionId::SESSION, self.go_away(code, &text)).encode())
    }

    fn go_away(&self, code: GoAwayCode, text: &str) -> Body {
        let text = head(text, self.config.limits.max_text).to_string();
        Body::GoAway { last: self.numbers.newest_peer(), code, text }
    }

    /// A draining session ends when nothing is left to do.
    pub(super) fn end_if_drained(&mut self) {
        if self.is_drained() {
            self.end(SessionEnd::Drained);
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        let idle = self.table.is_empty() && self.outbox.queued_control() == 0;
        self.draining && idle && self.ended.is_none()
    }
}
