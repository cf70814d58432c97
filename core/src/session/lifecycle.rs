//! Runs the connections' lifecycle: looks a signal up in the table and does what stands there.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use super::{Control, Event, PeerMisbehaved, Session};
use crate::ConnectionId;
use crate::connection::{
    Connection, ConnectionEnd, Context, Linger, Phase, RecvHalf, SendHalf, Signal, Standing, Step,
    Tell, Then,
};
use crate::ledger::Cause;
use crate::timers::{Deadline, Timer};
use crate::wire::{Body, EOF, ResetCode, base};

/// Queued answers above which their texts get short.
const LONG_TEXTS: usize = 1024;

impl Session {
    /// Applies a signal to a connection. `text` is what the other end is told if it comes to a
    /// reset, and the application if the other end has no words of its own. `Ok(false)` if the
    /// connection is gone or the application may not do that.
    pub(super) fn apply(
        &mut self,
        id: ConnectionId,
        signal: Signal,
        text: &str,
    ) -> Result<bool, PeerMisbehaved> {
        let Some(row) = self.table.get(id) else { return Ok(false) };
        let context = Context {
            half_close: self.extended(),
            unread: row.recv.unread() > 0,
            queued: row.send.queued() > 0,
        };
        match row.phase.step(signal, context) {
            Step::Stay => {}
            Step::To(phase) => self.enter(id, phase),
            Step::End { cause, clean, tell } => {
                self.tell(id, tell, text);
                self.remember(id, cause, text);
                if context.unread {
                    self.enter(id, Phase::Over { cause, clean });
                } else {
                    self.retire(id, cause, clean);
                }
            }
            Step::ResetAfterFlush { cause, code, finished } => {
                self.keep_reset(id, code, text);
                self.reset_after_flush(id, Then::Reset { cause, finished });
            }
            Step::Retire { cause, tell } => {
                let clean = row.phase.received_all();
                let was_over = matches!(row.phase, Phase::Over { .. });
                self.tell(id, tell, text);
                if !was_over {
                    self.remember(id, cause, text);
                }
                self.retire(id, cause, clean);
            }
            Step::Violation(violation) => {
                return Err(PeerMisbehaved::Lifecycle { id, violation });
            }
            Step::Misuse => return Ok(false),
        }
        Ok(true)
    }

    /// The reset waits for the bytes ahead of it, for as long as the transport takes some of them
    /// within the linger time. The application hears at once that the connection is over.
    fn reset_after_flush(&mut self, id: ConnectionId, then: Then) {
        self.enter(id, Phase::Lingering(Linger::Flush(then)));
        self.wake_reader(id);
        self.wake_writer(id);
        self.events.push_back(Event::Ended(id));
    }

    /// Keeps our words for the application, where the other end had none. A clean end needs none.
    fn remember(&mut self, id: ConnectionId, cause: Cause, text: &str) {
        if text.is_empty() || cause == Cause::Finished {
            return;
        }
        self.table.update(id, |row| {
            let (_, words) = &mut **row.farewell.get_or_insert_default();
            if words.is_empty() {
                *words = text.into();
            }
        });
    }

    fn enter(&mut self, id: ConnectionId, phase: Phase) {
        self.table.update(id, |row| {
            row.phase = phase;
            match phase {
                Phase::Lingering(_) => row.recv.discard(),
                Phase::Over { .. } => row.send.discard(),
                _ => {}
            }
        });
        self.table.check();
        if !matches!(phase, Phase::Opening | Phase::Dialing(_)) {
            self.answered(id);
        }
        self.rearm(id, phase);
        self.review_stop(id);
        match phase {
            Phase::Open { send, recv } => {
                if recv == RecvHalf::Finished {
                    self.on_received_all(id);
                }
                if send == SendHalf::Finishing {
                    self.table.update(id, |row| row.flag.on_finished());
                    self.review_flow(id);
                    self.mark_ready(id);
                }
            }
            Phase::Lingering(Linger::Flush(_)) => self.mark_ready(id),
            Phase::Over { .. } => self.on_over(id),
            Phase::Opening | Phase::Dialing(_) | Phase::Lingering(Linger::Await) => {}
        }
    }

    /// The other end finished: a blocked reader must learn it, and what is read to the end is
    /// drained.
    fn on_received_all(&mut self, id: ConnectionId) {
        self.wake_reader(id);
        if self.table.get(id).is_some_and(|row| row.recv.unread() == 0) {
            // The table has no violation for this signal.
            self.apply(id, Signal::Drained, "").ok();
        }
    }

    fn on_over(&mut self, id: ConnectionId) {
        self.forget_queues(id);
        self.wake_reader(id);
        self.wake_writer(id);
        self.events.push_back(Event::Ended(id));
        // What it had queued is thrown away.
        self.wake_budget_waiters();
    }

    /// Arms the deadline of the phase, if it has one, in place of the former one.
    fn rearm(&mut self, id: ConnectionId, phase: Phase) {
        let lingers = match phase {
            Phase::Lingering(_) => true,
            // While bytes wait for the application, so does the other end: for a Resume.
            Phase::Open { send: SendHalf::Finished, recv: RecvHalf::Open } if !self.extended() => {
                self.table.get(id).is_some_and(|row| row.recv.unread() == 0)
            }
            // Its deadline was armed with the dial and holds until the dial is answered.
            Phase::Dialing(_) | Phase::Opening => return,
            _ => false,
        };
        let linger = self.config.timing.linger;
        self.set_timer(id, lingers.then_some((Timer::Linger(id), linger)));
    }

    /// A connection that lingers has moved on: its time begins anew.
    pub(super) fn linger_anew(&mut self, id: ConnectionId) {
        let Some(row) = self.table.get(id) else { return };
        let lingers = match row.phase {
            Phase::Open { send: SendHalf::Finished, .. } => !self.extended(),
            phase => matches!(phase, Phase::Lingering(_)),
        };
        if lingers {
            self.rearm(id, row.phase);
        }
    }

    /// Where there is no room for another connection, the one ends that has lingered longest
    /// without a word of its own end: half-closed toward an end that knows no half-close.
    pub(super) fn make_room(&mut self) {
        if self.extended() || self.table.len() < self.config.limits.max_connections {
            return;
        }
        let half_closed = |(timer, _)| match timer {
            Timer::Linger(id) => {
                let phase = self.table.get(id)?.phase;
                matches!(phase, Phase::Open { send: SendHalf::Finished, .. }).then_some(id)
            }
            _ => None,
        };
        let longest = self.timers.iter().find_map(half_closed);
        if let Some(id) = longest {
            // The table has no violation for this signal.
            self.apply(id, Signal::Deadline, "").ok();
        }
    }

    pub(super) fn set_timer(&mut self, id: ConnectionId, deadline: Option<(Timer, Duration)>) {
        let deadline = deadline.map(|(timer, after)| Deadline { at: self.now + after, timer });
        let update = |row: &mut Connection| core::mem::replace(&mut row.deadline, deadline);
        let Some(before) = self.table.update(id, update) else { return };
        if let Some(before) = before {
            self.timers.remove(before);
        }
        if let Some(deadline) = deadline {
            self.timers.insert(deadline);
        }
    }

    /// The one door in.
    pub(super) fn insert(&mut self, id: ConnectionId, row: Connection) {
        self.table.insert(id, row);
    }

    /// The one door out.
    fn retire(&mut self, id: ConnectionId, cause: Cause, complete: bool) {
        self.forget_queues(id);
        self.answered(id);
        let Some(row) = self.table.retire(id, cause) else { return };
        if let Some(deadline) = row.deadline {
            self.timers.remove(deadline);
        }
        // Bytes that go with the row are not what an end of file looks like.
        let complete = complete && row.recv.unread() == 0;
        let end = ConnectionEnd { complete, ..row.end(cause) };
        self.events.push_back(Event::Retired { id, end });
        self.wake_budget_waiters();
    }

    /// A dial is in flight no more.
    fn answered(&mut self, id: ConnectionId) {
        self.dials.remove(id);
        self.dialled.remove(id);
    }

    /// Takes a connection out of every queue that it stands in.
    fn forget_queues(&mut self, id: ConnectionId) {
        let Some(queued) = self.table.update(id, |row| {
            let queued = (row.standing, row.owes_flow, row.wants_budget, !row.announced);
            row.standing = Standing::Idle;
            (row.owes_flow, row.wants_budget) = (false, false);
            queued
        }) else {
            return;
        };
        let (standing, flow, budget, connect) = queued;
        self.outbox.ready.forget(id, standing);
        if flow {
            self.outbox.flow.forget(id);
        }
        if budget {
            self.budget_waiters.forget(id);
        }
        if connect {
            self.outbox.forget_connect(id);
        }
    }

    /// Says to the other end what the table asks for. A dial that has not left yet is not
    /// mentioned: it never was.
    fn tell(&mut self, id: ConnectionId, tell: Tell, text: &str) {
        let known = self.table.get(id).is_some_and(|row| row.announced);
        if !known || self.ended.is_some() {
            return;
        }
        let body = if self.extended() {
            self.extended_end(id, tell, text)
        } else {
            self.base_end(id, tell, text)
        };
        if let Some(body) = body {
            if tell != Tell::Echo {
                self.free_writer(id);
            }
            self.outbox.push(self.now, Control::Connection { id, body });
        }
    }

    /// A writer that sleeps at a remotedialer end sleeps on when its connection is gone, so it is
    /// woken first (bug R6).
    fn free_writer(&mut self, id: ConnectionId) {
        let sleeps = self.table.get(id).is_some_and(|row| row.flag.may_be_set(row.send.sent()));
        if sleeps && !self.extended() {
            self.outbox.push(self.now, Control::Connection { id, body: Body::Resume });
        }
    }

    /// Bytes of text that an answer may carry. Texts are for people: they get short before a queue
    /// that nobody reads holds much of them.
    fn text_limit(&self) -> usize {
        let long = self.outbox.queued_answers() <= LONG_TEXTS;
        let most = self.config.limits.max_text;
        if long { most } else { most.min(base::MAX_ERROR) }
    }

    fn base_end(&self, id: ConnectionId, tell: Tell, text: &str) -> Option<Body> {
        let text = match tell {
            Tell::Nothing => return None,
            Tell::Close => EOF.to_string(),
            Tell::Echo => {
                let said = self.table.get(id).and_then(|row| row.farewell.as_ref());
                said.map_or_else(
                    || EOF.to_string(),
                    |said| head(&said.1, base::MAX_ERROR).to_string(),
                )
            }
            Tell::Reset(code) => base_text(code, text),
            Tell::KeptReset => {
                let (code, text) = self.kept_reset(id);
                base_text(code, &text)
            }
        };
        Some(Body::Error { text })
    }

    fn extended_end(&self, id: ConnectionId, tell: Tell, text: &str) -> Option<Body> {
        let limit = self.text_limit();
        match tell {
            Tell::Reset(code) => Some(Body::Reset { code, text: head(text, limit).to_string() }),
            Tell::KeptReset => {
                let (code, text) = self.kept_reset(id);
                Some(Body::Reset { code, text: head(&text, limit).to_string() })
            }
            Tell::Nothing | Tell::Close | Tell::Echo => None,
        }
    }

    fn keep_reset(&mut self, id: ConnectionId, code: ResetCode, text: &str) {
        self.table.update(id, |row| row.farewell = Some(Box::new((Some(code), text.into()))));
    }

    fn kept_reset(&self, id: ConnectionId) -> (ResetCode, String) {
        let kept = self.table.get(id).and_then(|row| row.farewell.as_deref().cloned());
        let (code, text) = kept.unwrap_or_default();
        (code.unwrap_or(ResetCode::CANCELLED), text)
    }
}

/// An Error text that is not taken for a graceful end, no longer than what is read of it.
pub(super) fn base_text(code: ResetCode, text: &str) -> String {
    match text {
        "" | EOF => code.to_string(),
        text => head(text, base::MAX_ERROR).to_string(),
    }
}

/// The part of a text for people that is sent. Cutting is harmless here.
pub(super) fn head(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
