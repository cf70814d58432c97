//! Runs the lifecycle of connections: looks a signal up in the table and performs the step.

use alloc::boxed::Box;
use alloc::string::ToString;

use super::connections::Row;
use super::outbox::Control;
use super::{Event, InvalidState, ProtocolViolation, base};
use crate::connection::{
    AfterFlush, CloseReason, Command, ConnectionEnd, Context, Flow, Linger, Phase, RecvHalf,
    RemoteSignal, SendHalf, SessionSignal, Step, WireAction,
};
use crate::ledger::Cause;
use crate::time::Timer;
use crate::wire::{Body, Dialect, ResetCode};

/// Queued answers above which their texts are cut short.
const LONG_TEXTS: usize = 1024;

impl Row<'_> {
    /// A signal of the remote.
    pub(super) fn on_remote(&mut self, signal: RemoteSignal) -> Result<(), ProtocolViolation> {
        let id = self.id;
        let step = self.phase.on_remote(signal, self.context());
        let step = step.map_err(|violation| ProtocolViolation::Lifecycle { id, violation })?;
        self.perform(step, "");
        Ok(())
    }

    /// A command of the application. `text` goes to the remote with a reset.
    pub(super) fn on_command(&mut self, command: Command, text: &str) -> Result<(), InvalidState> {
        let step = self.phase.on_command(command, self.context());
        let step = step.map_err(|_| InvalidState(self.id))?;
        self.perform(step, text);
        Ok(())
    }

    /// A signal of the session. `text` goes to the remote with a reset.
    pub(super) fn on_session(&mut self, signal: SessionSignal, text: &str) {
        let step = self.phase.on_session(signal);
        self.perform(step, text);
    }

    fn context(&self) -> Context {
        Context {
            half_close: matches!(self.flow, Flow::Credit(_)),
            unread: self.recv.unread() > 0,
            queued: self.send.queued() > 0,
        }
    }

    fn perform(&mut self, step: Step, text: &str) {
        debug_assert!(self.retired().is_none(), "a signal reaches the retired {}", self.id);
        match step {
            Step::Stay => {}
            Step::To(phase) => self.enter(phase),
            Step::End { cause, complete, wire } => {
                self.send_close(wire, text);
                self.keep_text(cause, text);
                if self.recv.unread() > 0 {
                    self.enter(Phase::Ended { cause, complete });
                } else {
                    self.retire(cause, complete);
                }
            }
            Step::ResetAfterFlush { cause, code, finished } => {
                let reason = CloseReason { code: Some(code), text: text.into() };
                self.close_reason = Some(Box::new(reason));
                let then = AfterFlush::Reset { cause, finished };
                self.enter(Phase::Lingering(Linger::Flush(then)));
                self.wake_reader();
                self.wake_writer();
                self.session.events.push_back(Event::Ended(self.id));
            }
            Step::Retire { cause, wire } => {
                self.send_close(wire, text);
                if !matches!(self.phase, Phase::Ended { .. }) {
                    self.keep_text(cause, text);
                }
                self.retire(cause, self.phase.received_all());
            }
        }
    }

    /// Keeps the text for the application, where the remote sent none. A clean end needs none.
    fn keep_text(&mut self, cause: Cause, text: &str) {
        if text.is_empty() || cause == Cause::Finished {
            return;
        }
        let reason = &mut **self.close_reason.get_or_insert_default();
        if reason.text.is_empty() {
            reason.text = text.into();
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        match phase {
            Phase::Lingering(_) => self.recv.discard(),
            Phase::Ended { .. } => {
                debug_assert!(self.recv.unread() > 0, "{} has ended without bytes", self.id);
                self.send.discard();
            }
            _ => {}
        }
        self.rearm();
        self.review_probe();
        match phase {
            Phase::Open { send, recv } => self.on_open(send, recv),
            Phase::Lingering(Linger::Flush(_)) => self.mark_ready(),
            Phase::Ended { .. } => {
                self.leave_queues();
                self.wake_reader();
                self.wake_writer();
                self.session.events.push_back(Event::Ended(self.id));
            }
            Phase::PendingOutbound
            | Phase::PendingInbound(_)
            | Phase::Lingering(Linger::AwaitFinish) => {}
        }
    }

    fn on_open(&mut self, send: SendHalf, recv: RecvHalf) {
        debug_assert!(
            recv != RecvHalf::Drained || self.recv.unread() == 0,
            "{} is drained and has unread bytes",
            self.id
        );
        if recv == RecvHalf::Finished {
            // A blocked reader must learn it.
            self.wake_reader();
            if self.recv.unread() == 0 {
                self.on_session(SessionSignal::Drained, "");
            }
        }
        if send == SendHalf::Finishing {
            self.flow.on_finished();
            self.review_update();
            self.mark_ready();
        }
    }

    /// The row leaves the table, the last event of it is queued.
    fn retire(&mut self, cause: Cause, complete: bool) {
        // Bytes that are removed with the row are not what an end of file looks like.
        let complete = complete && self.recv.unread() == 0;
        let end = ConnectionEnd { complete, ..self.end(cause) };
        self.remove(cause);
        self.session.events.push_back(Event::Retired { id: self.id, end });
    }

    /// Arms the deadline of the phase, if it has one, and disarms the former one.
    fn rearm(&mut self) {
        let lingers = match self.phase {
            Phase::Lingering(_) => true,
            Phase::Open { .. } => self.lingers_half_closed(),
            // The deadline was armed with the dial and holds until the dial is answered.
            Phase::PendingOutbound | Phase::PendingInbound(_) => return,
            Phase::Ended { .. } => false,
        };
        if lingers {
            self.arm(Timer::Linger(self.id), self.session.config.timing.linger);
        } else {
            self.set_deadline(None);
        }
    }

    /// A connection that lingers has made progress: its time starts anew.
    pub(super) fn linger_anew(&mut self) {
        if matches!(self.phase, Phase::Lingering(_)) || self.is_half_closed_toward_base() {
            self.rearm();
        }
    }

    /// Sends the remote what the table asks for. A dial that was not sent yet is not mentioned.
    fn send_close(&mut self, wire: WireAction, text: &str) {
        if !self.announced || self.session.ended.is_some() {
            return;
        }
        let body = match self.session.dialect {
            Dialect::Base => self.base_close(wire, text),
            Dialect::Extended => self.extended_close(wire, text),
        };
        if let Some(body) = body {
            if wire != WireAction::Echo {
                self.wake_remote_writer();
            }
            let (id, now) = (self.id, self.session.now);
            self.session.outbox.push(now, Control::Connection { id, body });
        }
    }

    fn extended_close(&self, wire: WireAction, text: &str) -> Option<Body> {
        match wire {
            WireAction::Reset(code) => Some(self.reset_body(code, text)),
            WireAction::KeptReset => {
                let CloseReason { code, text } = self.kept_reset();
                Some(self.reset_body(code.unwrap_or(ResetCode::CANCELLED), &text))
            }
            WireAction::Nothing | WireAction::Close | WireAction::Echo => None,
        }
    }

    /// Texts are for people: they are cut short before a queue that nobody reads holds much of them.
    fn reset_body(&self, code: ResetCode, text: &str) -> Body {
        let most = self.session.config.limits.max_text;
        let short = self.session.outbox.queued_answers() > LONG_TEXTS;
        let limit = if short { most.min(base::MAX_ERROR) } else { most };
        Body::Reset { code, text: head(text, limit).to_string() }
    }

    pub(super) fn kept_reset(&self) -> CloseReason {
        debug_assert!(self.close_reason.is_some(), "{} has kept no reset", self.id);
        self.close_reason.as_deref().cloned().unwrap_or_default()
    }
}

/// The part of a text for people that is sent. Cutting is harmless here.
pub(super) fn head(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
