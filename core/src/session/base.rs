//! Everything that only a remotedialer end needs: the base dialect.
//!
//! It has one message for every end of a connection (Error), no half-close, no answer to a dial,
//! no credit, no reason for the end of a session, and bugs that this end works around.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::connections::Row;
use super::ids::SPAN;
use super::input::Handled;
use super::lifecycle::head;
use super::outbox::Control;
use super::{OpenError, ProtocolViolation, Session};
use crate::ConnectionId;
use crate::connection::{
    CloseReason, Connection, Flow, Missing, PauseFlag, Phase, RecvHalf, RemoteSignal, SendHalf,
    SessionSignal, WireAction,
};
use crate::time::Timer;
use crate::wire::base::MAX_TARGET;
use crate::wire::{Body, Dialect, EOF, Encoded, Message, ResetCode};

pub(super) use crate::wire::base::MAX_ERROR;

/// How many ids are listed as live, on either side of the newest one, that no message has used yet.
///
/// A remotedialer acceptor closes every connection that is not listed, even one whose Connect is
/// still in flight (bug R9). It counts its ids upward, so listing the next ones protects those
/// Connects, and Connects that a later one has overtaken. An id that it never used costs its 8
/// bytes.
///
/// The number in flight is unknown; hardly more than arrived since the last list, which is far
/// longer ago than a message takes. So an idle session lists 4 KiB a minute, and a busy one up to
/// 32 KiB, or twice that if the remote leaves ids out: the span of the window of ids.
const UNUSED_LISTED: RangeInclusive<u64> = 512..=SPAN;

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

    /// A remotedialer end may not know that a connection is gone. It is answered once.
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

    /// The connection was stopped or may continue: it sends window probes for as long as it is stopped.
    pub(super) fn review_probe(&mut self) {
        let Flow::PauseResume(flag) = &self.flow else { return };
        let stopped = self.phase.is_writable() && flag.is_stopped();
        let probes = self.waits_for(Timer::Probe(self.id));
        if stopped && !probes {
            self.arm(Timer::Probe(self.id), PauseFlag::first_probe());
        } else if probes && !stopped {
            self.set_deadline(None);
        }
    }

    /// An application that had nothing to send has something now: no probe has asked for it yet.
    pub(super) fn probe_soon(&mut self) {
        let Flow::PauseResume(flag) = &self.flow else { return };
        if flag.is_between_probes() && self.waits_for(Timer::Probe(self.id)) {
            self.arm(Timer::Probe(self.id), PauseFlag::first_probe());
        }
    }

    pub(super) fn on_probe_timer(&mut self) {
        debug_assert!(self.phase.is_writable(), "{} probes and cannot write", self.id);
        let (now, waits) = (self.session.now, self.send.wants_space || self.send.queued() > 0);
        let Flow::PauseResume(flag) = &mut self.flow else { return };
        let next = flag.probe(now, waits);
        self.arm(Timer::Probe(self.id), next);
        self.review_update();
        self.review_writer();
    }
}

/// Reconciliation, where the remote's lists may be older than the Connects that they lack.
impl Session {
    pub(super) fn base_list(&mut self, mut ids: Vec<ConnectionId>) -> Body {
        let recent = self.common.ids.take_recent();
        let around = recent.clamp(*UNUSED_LISTED.start(), *UNUSED_LISTED.end());
        ids.extend(self.common.ids.unseen(around));
        Body::SyncConnections { ids }
    }

    /// A remotedialer connector's list.
    pub(super) fn on_sync_connections(&mut self, mut listed: Vec<ConnectionId>) {
        listed.sort_unstable();
        let mut ids: Vec<_> = self.connections.ids().collect();
        ids.retain(|id| {
            let is_listed = listed.binary_search(id).is_ok();
            let missing =
                self.connections.with(*id, &mut self.common, |row| row.is_missing(is_listed));
            missing == Some(true)
        });
        self.close_missing(ids);
    }
}

impl Row<'_> {
    /// Whether lists have lacked the connection for long enough that it is gone at the remote.
    ///
    /// A remotedialer connector may take its list before a Connect reaches it, and the list arrives
    /// after that was sent (bug R9), on a slow link minutes after. A message that follows the answer
    /// to a ping which followed the Connect was sent after the Connect was read. The connector may
    /// have taken a list before, and written it since; that takes no longer than the silence after
    /// which a session is over, nor than twice that.
    fn is_missing(&mut self, listed: bool) -> bool {
        let now = self.session.now;
        if listed || !self.announced {
            self.missing = None;
            return false;
        }
        match self.missing {
            Some(Missing::Since(since)) => {
                return now - since >= self.session.config.timing.silence.saturating_mul(2);
            }
            Some(Missing::Asked(ping)) if ping <= self.session.keepalive.answered() => {
                self.missing = Some(Missing::Since(now));
            }
            // A connector whose transport is full drops its answer: the ping is repeated.
            asked => {
                let next = self.session.keepalive.next_ping();
                self.missing = asked.or(Some(Missing::Asked(next)));
                self.session.outbox.set_ping(now);
            }
        }
        false
    }
}

fn writer_may_sleep(row: &Connection) -> bool {
    match &row.flow {
        Flow::Credit(_) => false,
        Flow::PauseResume(flag) => flag.may_be_set(row.send.sent()),
    }
}
