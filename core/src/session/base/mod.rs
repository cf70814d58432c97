//! Everything that only a remotedialer end needs: the base dialect.
//!
//! It has one message for every end of a connection (Error), no half-close, no answer to a dial,
//! no credit, no reason for the end of a session, and bugs that this end works around.

mod probe;
mod reconcile;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};

use super::input::Handled;
use super::lifecycle::head;
use super::outbox::Control;
use super::row::Row;
use super::{OpenError, ProtocolViolation, Session};
use crate::ConnectionId;
use crate::connection::{
    CloseReason, Connection, Flow, Phase, RecvHalf, RemoteSignal, SendHalf, SessionSignal,
    WireAction,
};
use crate::timers::Timer;
use crate::wire::{Body, Dialect, EOF, Encoded, Message, ResetCode};

pub(super) use crate::wire::base::MAX_ERROR;
use crate::wire::base::MAX_TARGET;

/// Whether a remotedialer end takes the target for a target; how long it may be there.
pub(super) fn check_target(target: &str, limit: usize) -> Result<usize, OpenError> {
    if target.contains('/') { Ok(limit.min(MAX_TARGET)) } else { Err(OpenError::NoAddress) }
}

/// The Error that stands for a reset. Its text is not taken for a graceful end, and no longer than
/// the part of it that is read.
pub(super) fn error(code: ResetCode, text: &str) -> Body {
    let text = match text {
        "" | EOF => code.to_string(),
        text => head(text, MAX_ERROR).to_string(),
    };
    Body::Error { text }
}

impl Session {
    /// A message that only the base dialect has.
    pub(super) fn on_base_message(&mut self, id: ConnectionId, body: Body) -> Handled {
        if self.common.dialect == Dialect::Extended {
            return Err(ProtocolViolation::NotAllowed(match body {
                Body::Error { .. } => "Error",
                Body::SyncConnections { .. } => "SyncConnections",
                _ => "Pause and Resume",
            }));
        }
        match body {
            Body::Error { text } => self.on_error(id, text),
            Body::SyncConnections { ids } => {
                self.on_sync_connections(ids);
                Ok(())
            }
            body => {
                self.on_pause(id, body == Body::Pause);
                Ok(())
            }
        }
    }

    fn on_error(&mut self, id: ConnectionId, text: String) -> Handled {
        let signal = if text == EOF { RemoteSignal::Eof } else { RemoteSignal::Reset };
        // An Error for an unknown connection is the echo of this end's.
        let known = self.connections.with(id, &mut self.common, |row| {
            row.close_reason.get_or_insert_with(|| Box::new(CloseReason { code: None, text }));
            row.on_remote(signal)
        });
        known.unwrap_or(Ok(()))
    }

    fn on_pause(&mut self, id: ConnectionId, paused: bool) {
        let now = self.common.now;
        self.connections.with(id, &mut self.common, |row| {
            if let Flow::PauseResume(flag) = &mut row.flow {
                if paused { flag.on_pause(now) } else { flag.on_resume() }
            }
            row.review_update();
            row.review_probe();
            row.review_writer();
        });
    }

    /// A remotedialer end may never have heard that a connection is gone. It hears it once.
    pub(super) fn answer_not_found(&mut self, id: ConnectionId) {
        if !self.common.ids.is_own(id) {
            self.common.outbox.push_not_found(self.common.now, id);
        }
    }

    /// Where the table is full, closes the connection that has been half-closed for longest: its
    /// remote cannot express the end of its own direction.
    pub(super) fn make_space(&mut self) {
        let full = self.connections.len() >= self.common.config.limits.max_connections;
        if !full || self.common.dialect == Dialect::Extended {
            return;
        }
        let half_closed = |timer| match timer {
            Timer::Linger(id) => {
                let phase = self.connections.get(id)?.phase;
                matches!(phase, Phase::Open { send: SendHalf::Finished, .. }).then_some(id)
            }
            _ => None,
        };
        let mut deadlines = self.connections.shared().deadlines.iter();
        let longest = deadlines.find_map(|(timer, _)| half_closed(timer));
        drop(deadlines);
        self.signal_all(longest, SessionSignal::Deadline, "");
    }

    /// The last messages of a session that ends: they wake the writers that would sleep on at the
    /// remote when the session is gone (bug R6). Resumes of connections that ended before are queued.
    pub(super) fn last_resumes(&self) -> VecDeque<Encoded> {
        let sleeps = |row: &Connection| {
            row.announced && !matches!(row.phase, Phase::Ended { .. }) && writer_may_sleep(row)
        };
        let rows = self.connections.iter().filter(|(_, row)| sleeps(row)).map(|(id, _)| id);
        let ids = self.common.outbox.queued_resumes().chain(rows);
        ids.map(|id| Message::new(id, Body::Resume).encode()).collect()
    }
}

impl Row<'_> {
    /// How the base dialect expresses the end of a connection.
    pub(super) fn base_close(&self, wire: WireAction, text: &str) -> Option<Body> {
        match wire {
            WireAction::Nothing => None,
            WireAction::Close => Some(Body::Error { text: EOF.to_string() }),
            WireAction::Echo => {
                let reason = self.close_reason.as_deref();
                let text = reason.map_or(EOF, |reason| head(&reason.text, MAX_ERROR));
                Some(Body::Error { text: text.to_string() })
            }
            WireAction::Reset(code) => Some(error(code, text)),
            WireAction::KeptReset => {
                let CloseReason { code, text } = self.kept_reset();
                Some(error(code.unwrap_or(ResetCode::CANCELLED), &text))
            }
        }
    }

    /// A writer that sleeps at a remotedialer end sleeps on when its connection is gone, so it is
    /// woken first (bug R6).
    pub(super) fn wake_remote_writer(&mut self) {
        if writer_may_sleep(self.connection) {
            let resume = Control::Connection { id: self.id, body: Body::Resume };
            self.session.outbox.push(self.session.now, resume);
        }
    }

    /// Whether this end has finished, and the remote cannot express the end of its own direction.
    pub(super) fn is_half_closed_toward_base(&self) -> bool {
        matches!(self.flow, Flow::PauseResume(_))
            && matches!(self.phase, Phase::Open { send: SendHalf::Finished, .. })
    }

    /// Whether a half-closed connection has a deadline. While bytes wait for the application, the
    /// remote waits for a Resume, and has none.
    pub(super) fn lingers_half_closed(&self) -> bool {
        self.is_half_closed_toward_base()
            && matches!(self.phase, Phase::Open { recv: RecvHalf::Open, .. })
            && self.recv.unread() == 0
    }
}

fn writer_may_sleep(row: &Connection) -> bool {
    match &row.flow {
        Flow::Credit(_) => false,
        Flow::PauseResume(flag) => flag.may_be_set(row.send.sent()),
    }
}
