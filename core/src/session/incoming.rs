//! Dials of the other end.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::input::Handled;
use super::lifecycle::base_text;
use super::{Control, Event, PeerMisbehaved, Session};
use crate::ConnectionId;
use crate::connection::{Connection, Early, Phase, RecvBuffer};
use crate::timers::Timer;
use crate::wire::{Body, InvalidMessage, ResetCode};

impl Session {
    pub(super) fn on_connect(
        &mut self,
        id: ConnectionId,
        target: String,
        deadline: i64,
    ) -> Handled {
        self.take_number(id)?;
        if let Some((code, text)) = self.reason_to_refuse(&target) {
            self.answer_refused(id, code, text);
            return Ok(());
        }
        let within = self.accept_time(deadline);
        let row = Connection::new(
            Phase::Dialing(Early::Open),
            self.initial_credit(),
            self.recv_buffer(),
            true,
        );
        self.insert(id, row);
        self.dialled.insert(id, &target);
        self.set_timer(id, Some((Timer::Accept(id), within)));
        self.events.push_back(Event::Incoming { id, target, within });
        Ok(())
    }

    /// The other end dialled something that is no target.
    pub(super) fn on_bad_target(&mut self, id: ConnectionId, error: &InvalidMessage) -> Handled {
        self.take_number(id)?;
        self.answer_refused(id, ResetCode::DIAL_REFUSED, &error.to_string());
        Ok(())
    }

    fn take_number(&mut self, id: ConnectionId) -> Handled {
        if !self.numbers.is_peers(id) {
            return Err(PeerMisbehaved::ForeignId(id));
        }
        if self.numbers.was_used(id) {
            return Err(PeerMisbehaved::ReusedId(id));
        }
        self.numbers.saw(id);
        Ok(())
    }

    /// Room is made only for a dial that is not refused otherwise.
    fn reason_to_refuse(&mut self, target: &str) -> Option<(ResetCode, &'static str)> {
        if self.draining {
            return Some((ResetCode::GOING_AWAY, "this end takes no new connections"));
        }
        if self.table.totals().dialing >= self.config.limits.max_dials {
            return Some((ResetCode::LIMIT, "too many dials in flight"));
        }
        if self.dialled.excess(target, self.config.limits.max_dials).is_some() {
            return Some((ResetCode::LIMIT, "too many dials of this target in flight"));
        }
        self.make_room();
        let full = self.table.len() >= self.config.limits.max_connections;
        full.then_some((ResetCode::LIMIT, "too many connections"))
    }

    /// Refuses a dial that never becomes a row.
    fn answer_refused(&mut self, id: ConnectionId, code: ResetCode, text: &str) {
        let body = if self.extended() {
            Body::Reset { code, text: text.into() }
        } else {
            Body::Error { text: base_text(code, text) }
        };
        self.outbox.push(self.now, Control::Connection { id, body });
    }

    /// How long the application has to answer: an opener of ours says in the Connect how long it
    /// waits.
    fn accept_time(&self, deadline: i64) -> Duration {
        let own = self.config.timing.accept;
        match u64::try_from(deadline) {
            Ok(millis) if self.extended() && millis > 0 => own.min(Duration::from_millis(millis)),
            _ => own,
        }
    }

    /// The credit of a new connection, as far as it is known yet.
    pub(super) fn initial_credit(&self) -> u64 {
        match (&self.peer, self.extended()) {
            (Some(settings), _) => settings.initial_window,
            (None, true) => 0,
            (None, false) => u64::MAX,
        }
    }

    pub(super) fn recv_buffer(&self) -> RecvBuffer {
        if self.extended() {
            RecvBuffer::new(self.config.limits.initial_window)
        } else {
            RecvBuffer::ungranted()
        }
    }
}
