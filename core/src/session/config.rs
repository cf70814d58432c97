//! Limits and timeouts of a session.

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::wire::{Dialect, Settings};

/// The limits of a session. Each keeps one thing finite that the remote could otherwise make grow.
///
/// `initial_window`, `max_data` and `max_connections` are sent to the remote, which takes only
/// values that make sense: see [`Settings`]. Here, the nearest one of those counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one incoming message. A Go application's single `Write` is one message of any
    /// size, so this is generous; a watertight end never sends more than `max_data` plus a header.
    pub max_message: usize,
    /// Bytes of Data that one outgoing message carries, and that a watertight end may send us in
    /// one. Small enough that a short message never waits long behind it. By default, a message
    /// with its headers has 16 KiB, so that a read buffer holds a whole number of them and the end
    /// of one is seldom moved to the next.
    pub max_data: usize,
    /// Bytes of a dial's target: a host name has 253 at most, a path 4096 only in theory. The base
    /// dialect reads no more than 266, so there it is less.
    pub max_target: usize,
    /// Bytes of text kept from an error that the remote words: enough for a chain of causes in
    /// a log line, too little to fill a log with.
    pub max_text: usize,
    /// Bytes of a client key in a peer's announcement: five times what fits into a remotedialer
    /// peer's.
    pub max_client_key: usize,
    /// Connections at once, both ends' dials together. With `initial_window` it bounds what a
    /// session can be made to buffer before any window grows.
    pub max_connections: usize,
    /// Dials in flight at once, counted for each end. A dial costs the dialling end a socket and a
    /// task before anything proves that it is wanted. A single target may have no more of them than
    /// are still free, so that a target that hangs leaves capacity for the others.
    pub max_dials: usize,
    /// Control messages that wait for the transport, announcements of clients not counted. A remote
    /// that causes answers without reading them passes it, and its session ends, though not before
    /// four for each of `max_connections`, which the connections themselves may need. Above half of
    /// it no dial is sent.
    pub max_queued_control: usize,
    /// Bytes of a connection that the remote may send before the first Credit.
    pub initial_window: u64,
    /// A window up to this size grows whenever it holds the remote back, and beyond it only as far
    /// as that makes the connection faster: a longer queue delays all others. Not less than
    /// `initial_window`.
    pub free_window: u64,
    /// How far one connection's window grows when its reader keeps up.
    pub max_window: u64,
    /// By how much all windows of a session together may grow beyond `initial_window`. A window
    /// doubles if that takes no more than half of what is left, because what was granted cannot be
    /// taken back from a connection that stays open, and others come later.
    pub window_budget: u64,
    /// Bytes of one connection accepted from the application before the transport takes them; at
    /// least one. It keeps a fast transport busy between two turns of the writer.
    pub send_buffer: usize,
    /// The same for all connections of a session together; at least one. With it a transport that
    /// takes nothing costs no more than this, however many connections write.
    pub send_budget: usize,
    /// What bounds a session with a remotedialer end, which is given no credit.
    pub base: BaseLimits,
}

/// Bounds of a session with a remotedialer end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BaseLimits {
    /// Unread bytes of a connection above which Pause is sent. It
    /// answers with what is in flight, so this is not the bound.
    pub pause_above: usize,
    /// Unread bytes at or below which Resume is sent.
    pub resume_below: usize,
    /// Unread bytes at which a connection that ignores Pause is reset. Less than `max_message`
    /// would reset one whose application writes much at once, and less than what a path holds would
    /// reset one that obeys: the sockets' buffers on the path are ten MiB where the systems are set
    /// as they come, and more where their operator lets them grow.
    pub unread_cap: usize,
    /// Unread bytes of all connections together. Above a quarter of it a connection is paused that
    /// has more than `resume_below` unread, or more than its share of an eighth; at it the
    /// connection that continues to send is reset.
    pub unread_budget: usize,
}

impl Default for BaseLimits {
    fn default() -> Self {
        Self {
            pause_above: 1 << 20,
            resume_below: 256 << 10,
            unread_cap: 32 << 20,
            unread_budget: 64 << 20,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 4 << 20,
            max_data: (16 << 10) - MAX_HEADER,
            max_target: 1024,
            max_text: 1024,
            max_client_key: 512,
            max_connections: 8192,
            max_dials: 4096,
            max_queued_control: 32_768,
            initial_window: 32 << 10,
            free_window: 1 << 20,
            max_window: 16 << 20,
            window_budget: 64 << 20,
            send_buffer: 256 << 10,
            send_budget: 16 << 20,
            base: BaseLimits::default(),
        }
    }
}

/// How long a session waits for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timing {
    /// Between two pings, unless the remote's silence asks for more of them. Five seconds is what
    /// remotedialer's connector does.
    pub ping_interval: Duration,
    /// Silence of the remote after which the session is over. Any message is a sign of life, and
    /// so is a part of one. A watertight remote learns it from Settings and pings in time. While our
    /// ping waits in the transport, the remote cannot answer, so the time begins with what it takes.
    pub silence: Duration,
    /// Whether Settings carry the silence, so that a watertight remote pings in time: yes, unless set.
    /// Searches that count every message leave it out.
    pub announce_silence: bool,
    /// How long the remote's side of the transport may take nothing of what is queued: as long as
    /// `silence`, since a remote that sends and does not read is no better than a silent one.
    pub stall: Duration,
    /// How long an outbound dial may go unanswered, where the caller gives no other time. Fifteen
    /// seconds is what remotedialer allows.
    pub dial: Duration,
    /// How long the application may take to answer a dial of the remote; no use beyond `dial`.
    pub accept: Duration,
    /// How long a finished connection whose handle is gone waits for the remote's Finish, and
    /// how long a half-closed connection toward a remotedialer end stays readable without a byte.
    pub linger: Duration,
    /// Between two reconciliation lists. A minute is what remotedialer's connector does.
    pub reconcile: Duration,
}

impl SessionConfig {
    /// Its Settings.
    pub(super) fn settings(&self) -> Settings {
        let announces = self.timing.announce_silence;
        let silence = u64::try_from(self.timing.silence.as_millis()).unwrap_or(u64::MAX);
        let settings = Settings {
            initial_window: self.limits.initial_window,
            max_data: self.limits.max_data as u64,
            max_connections: self.limits.max_connections as u64,
            silence: if announces { nearest(silence.max(1), &Settings::SILENCE) } else { 0 },
        };
        debug_assert!(settings.check().is_ok(), "the remote refuses these Settings");
        settings
    }
}

impl Limits {
    /// Bytes of one incoming message in this dialect. A watertight end has no reason for a long
    /// one: its longest is a reconciliation list. The part of an incomplete message that a
    /// transport holds is in no ledger.
    #[must_use]
    pub fn max_message_in(&self, dialect: Dialect) -> usize {
        let longest = (self.max_data + MAX_HEADER).max(self.max_ids().saturating_mul(BYTES_OF_ID));
        match dialect {
            Dialect::Base => self.max_message,
            Dialect::Extended => self.max_message.min(longest),
        }
    }

    /// Ids in a reconciliation list. The remote may hold more connections than we would, and lists what we
    /// are about to open.
    pub(super) fn max_ids(&self) -> usize {
        self.max_connections.saturating_mul(2).max(65_536)
    }

    fn within_bounds(mut self) -> Self {
        self.initial_window = nearest(self.initial_window, &Settings::INITIAL_WINDOW);
        // No window is smaller than the first one.
        self.free_window = self.free_window.max(self.initial_window);
        self.max_data = nearest_size(self.max_data, &Settings::MAX_DATA);
        self.max_connections = nearest_size(self.max_connections, &Settings::MAX_CONNECTIONS);
        // The longest Data message with its header must be readable.
        self.max_message = self.max_message.max(self.max_data + MAX_HEADER);
        // Without any capacity, a writer would wait forever.
        self.send_buffer = self.send_buffer.max(1);
        self.send_budget = self.send_budget.max(1);
        self
    }
}

/// An id in a reconciliation list takes one byte mostly, and three where thousands lie between it and the one
/// before it.
const BYTES_OF_ID: usize = 4;

/// No header of a message is longer, with the transport's frame around it.
const MAX_HEADER: usize = 64;

fn nearest(value: u64, range: &RangeInclusive<u64>) -> u64 {
    value.clamp(*range.start(), *range.end())
}

fn nearest_size(value: usize, range: &RangeInclusive<u64>) -> usize {
    usize::try_from(nearest(value as u64, range)).unwrap_or(usize::MAX)
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            announce_silence: true,
            stall: Duration::from_secs(30),
            dial: Duration::from_secs(15),
            accept: Duration::from_secs(15),
            linger: Duration::from_secs(30),
            reconcile: Duration::from_secs(60),
        }
    }
}

/// A session's limits and times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionConfig {
    /// Its limits.
    pub limits: Limits,
    /// How long it waits.
    pub timing: Timing,
}

impl SessionConfig {
    /// The nearest configuration that works: the Settings are within the ranges of the remote, and
    /// the longest message that it may send then can be read. [`Session::new`] does the same by
    /// itself; a transport that bounds its messages by [`Limits::max_message`] takes it from here.
    ///
    /// [`Session::new`]: super::Session::new
    #[must_use]
    pub fn within_bounds(self) -> Self {
        Self { limits: self.limits.within_bounds(), timing: self.timing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_a_message_of_a_watertight_end_is_not_long() {
        let limits = Limits::default();
        assert_eq!(limits.max_message_in(Dialect::Base), 4 << 20);
        assert_eq!(limits.max_message_in(Dialect::Extended), 256 << 10);
        let large = Limits { max_data: 1 << 20, ..Limits::default() };
        assert!(large.max_message_in(Dialect::Extended) > 1 << 20);
        let small = Limits { max_message: 1000, ..Limits::default() };
        assert_eq!(small.max_message_in(Dialect::Extended), 1000);
    }

    #[test]
    fn no_window_may_become_smaller_than_the_first_one() {
        let mut config = SessionConfig::default();
        config.limits.free_window = 0;
        let limits = config.within_bounds().limits;
        assert_eq!(limits.free_window, limits.initial_window);
    }
}
