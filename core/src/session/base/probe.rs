//! Window probes: how a writer that a remotedialer end has paused finds out that it may continue.

use crate::connection::{Flow, PauseFlag};
use crate::session::row::Row;
use crate::timers::Timer;

impl Row<'_> {
    /// The connection was stopped or may continue: it probes for as long as it is stopped.
    pub(in crate::session) fn review_probe(&mut self) {
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
    pub(in crate::session) fn probe_soon(&mut self) {
        let Flow::PauseResume(flag) = &self.flow else { return };
        if flag.is_between_probes() && self.waits_for(Timer::Probe(self.id)) {
            self.arm(Timer::Probe(self.id), PauseFlag::first_probe());
        }
    }

    pub(in crate::session) fn on_probe_timer(&mut self) {
        let (now, waits) = (self.session.now, self.send.wants_space || self.send.queued() > 0);
        let Flow::PauseResume(flag) = &mut self.flow else { return };
        let next = flag.probe(now, waits);
        self.arm(Timer::Probe(self.id), next);
        self.review_update();
        self.review_writer();
    }
}
