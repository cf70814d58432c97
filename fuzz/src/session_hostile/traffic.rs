//! What went in and what came out.

use std::time::Duration;

use watertight_core::{Limits, Timing};

/// Messages that an input or a timer may cause: a Resume ahead of the end of a connection, or, of one that
/// was written to, the rest of a piece and Finish.
const MESSAGES: u64 = 2;

/// Bytes that an input or a timer may cause: a few numbers and a text of this end. The payload of Data and
/// the remote's text do not count.
const MESSAGE: u64 = 100;

/// The least that a Data message carries while there is more.
const DATA: u64 = 1024;

/// Ids that a list has for nothing (base dialect).
const LISTED: u64 = 1024;

/// Counts of what went in and what came out.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Messages that arrived, and commands of the application.
    inputs: u64,
    input_bytes: u64,
    /// Calls of `handle_timeout`.
    pub(super) timeouts: u64,
    /// Timers that came due: several in one call, if it is late.
    timers: u64,
    /// Bytes that the application has written.
    written: u64,
    /// Messages that were sent.
    sent: u64,
    sent_bytes: u64,
}

impl Traffic {
    pub(super) fn received(&mut self, bytes: usize) {
        self.inputs += 1;
        self.input_bytes += bytes as u64;
    }

    /// The application calls a command with a text of so many bytes.
    pub(super) fn commanded(&mut self, bytes: usize) {
        self.received(bytes);
    }

    /// Time has passed, and so many timers are due.
    pub(super) fn passed(&mut self, timers: usize) {
        self.timeouts += 1;
        self.timers += timers as u64;
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
    }

    /// No more comes out than what went in explains, and the time that has passed.
    pub(super) fn check(&self, passed: Duration, limits: &Limits, timing: &Timing) {
        let rows = limits.max_connections as u64;
        let causes = self.inputs + self.timers;
        let messages = MESSAGES * causes + self.written / DATA + 2;
        assert!(self.sent <= messages, "{} messages, {self:?}", self.sent);
        let lists = (passed.as_nanos() / timing.reconcile.as_nanos().max(1)).min(1 << 40);
        let lists = u64::try_from(lists).unwrap_or(u64::MAX) + 1;
        // Each dial of the remote makes it likelier that others are in flight.
        let listed = 8 * lists * (LISTED + rows) + 16 * self.inputs;
        let bytes = MESSAGE * (causes + 2) + self.written + 2 * self.input_bytes + listed;
        assert!(self.sent_bytes <= bytes, "{} bytes of at most {bytes}, {self:?}", self.sent_bytes);
    }
}
