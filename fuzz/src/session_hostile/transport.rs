//! The transport takes messages of the session, delivers the remote's, and time passes.

use bytes::Bytes;
use watertight_core::{Session, Transmit};

use super::host::Host;

impl Host {
    /// The transport takes a message, if there is one.
    pub(super) fn transmit(&mut self) -> bool {
        let has = self.session.has_transmit();
        let Some(transmit) = self.call(Session::poll_transmit) else { return false };
        assert!(has, "{transmit:?}, and it was not announced");
        let bytes = match &transmit {
            Transmit::Message(message) => {
                self.monitor.on_sent(message.to_bytes(), self.closed);
                message.len()
            }
            Transmit::TransportPing(payload) => {
                self.monitor.pinged();
                payload.len()
            }
        };
        self.heap.count(|| drop(transmit));
        self.traffic.sent(bytes);
        // A session that never stops sending is caught here.
        self.check_traffic();
        true
    }

    pub(super) fn check_traffic(&self) {
        self.traffic.check(self.newest.since_epoch(), self.limits(), &self.config.timing);
    }

    /// The transport takes what there is.
    pub(super) fn transmit_all(&mut self) {
        while self.transmit() {}
    }

    /// A message arrives.
    pub(super) fn take(&mut self, message: &[u8]) {
        self.traffic.received(message.len());
        if !self.closed {
            self.monitor.on_received(message);
        }
        self.call(|session, now| session.handle_message(now, Bytes::copy_from_slice(message)));
    }

    /// Handles the timeouts that are due.
    pub(super) fn timeout(&mut self) {
        let by = self.newest.max(self.now);
        self.traffic.passed(self.session.timers().take_while(|(_, at)| *at <= by).count());
        self.call(|session, now| session.handle_timeout(now));
        let next = self.session.poll_timeout();
        let newest = self.newest;
        assert!(next.is_none_or(|next| next > newest), "due again at once: {next:?} at {newest}");
    }
}
