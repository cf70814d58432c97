//! Time passes.

use std::time::Duration;

use watertight_core::Instant;

use super::case::Case;
use super::{Pace, bounds};

impl Case {
    pub(super) fn pass(&mut self, for_millis: u64, pace: Pace) {
        let until = self.host.now + Duration::from_millis(for_millis);
        let most = bounds::timeouts(&self.host, for_millis);
        let before = self.host.traffic.timeouts;
        while pace != Pace::Asleep && self.next_timeout_by(until) {
            let count = self.host.traffic.timeouts - before;
            assert!(count <= most, "more than {most} timeouts in {for_millis} ms");
            if pace == Pace::Taking {
                self.host.transmit_all();
            }
        }
        self.host.now = until;
        self.host.timeout();
    }

    /// What is due next is done, if it is due by then.
    fn next_timeout_by(&mut self, until: Instant) -> bool {
        let Some(at) = self.host.session.poll_timeout().filter(|at| *at <= until) else {
            return false;
        };
        self.host.now = self.host.now.max(at);
        self.host.timeout();
        true
    }

    pub(super) fn due(&mut self) {
        if let Some(at) = self.host.session.poll_timeout() {
            self.next_timeout_by(at);
        }
    }

    pub(super) fn go_back(&mut self, millis: u64) {
        let since = self.host.now.since_epoch().saturating_sub(Duration::from_millis(millis));
        self.host.now = Instant::from_epoch(since);
    }
}
