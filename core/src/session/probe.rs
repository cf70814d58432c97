//! Writers that a remotedialer end has stopped, and how they find out that they may go on.

use super::Session;
use crate::connection::{Connection, PauseFlag, Phase, SendHalf};
use crate::timers::Timer;
use crate::{ConnectionId, Instant};

impl Session {
    /// Bytes that may be taken from the application now, the session's budget apart.
    pub(super) fn room_of(&self, row: &Connection) -> usize {
        row.room(self.send_buffer())
    }

    /// A connection was stopped or may go on: it probes for as long as it is stopped.
    pub(super) fn review_stop(&mut self, id: ConnectionId) {
        if self.extended() {
            return;
        }
        let Some(row) = self.table.get(id) else { return };
        let writes = matches!(row.phase, Phase::Open { send: SendHalf::Open, .. });
        let stopped = writes && row.flag.is_stopped();
        let probes = row.waits_for(Timer::Probe(id));
        if stopped && !probes {
            self.set_timer(id, Some((Timer::Probe(id), PauseFlag::first_look())));
        } else if probes && !stopped {
            self.set_timer(id, None);
        }
    }

    /// An application that had nothing to send has something now: nobody has asked for it whether
    /// it may.
    pub(super) fn probe_soon(&mut self, id: ConnectionId) {
        let rests = |row: &Connection| row.waits_for(Timer::Probe(id)) && row.flag.rests();
        if self.table.get(id).is_some_and(rests) {
            self.set_timer(id, Some((Timer::Probe(id), PauseFlag::first_look())));
        }
    }

    pub(super) fn on_probe_timer(&mut self, now: Instant, id: ConnectionId) {
        let after = self.table.update(id, |row| {
            row.deadline = None;
            let waits = row.send.wants_room || row.send.queued() > 0;
            row.flag.look(now, waits)
        });
        let Some(after) = after else { return };
        self.set_timer(id, Some((Timer::Probe(id), after)));
        self.review_flow(id);
        self.review_writer(id);
    }
}
