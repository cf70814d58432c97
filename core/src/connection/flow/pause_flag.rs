//! Pause and Resume with a remotedialer end (base dialect).
//!
//! That end keeps **one** flag a connection for both directions, and its writer sleeps while the
//! flag is set (bugs R1 to R3, R6). Four things change it:
//!
//! | cause | the flag | sent | its writer |
//! | --- | --- | --- | --- |
//! | a Pause arrives | set | | sleeps |
//! | a Resume arrives | cleared | | is woken |
//! | 2 MiB wait unread, and it is not set | set | Pause | sleeps |
//! | less than 256 KiB wait unread after a read, and it is set | cleared | Resume | sleeps on |
//!
//! So such an end stops itself when it is full, does not wake itself, forgets that it was asked to
//! stop, and sends neither Pause nor Resume when the flag was changed meanwhile. This end works
//! around that:
//!
//! - Its Resume is answered with what the flag ought to be: Resume, which wakes its writer, or
//!   Pause once more.
//! - A paused end leaves the flag set for a moment, because a reader that keeps up sends Resume
//!   then. After that the flag is cleared, so that the writer of an end whose reader waits for it
//!   continues; and it is set again from time to time for a moment with one byte behind it (a
//!   *window probe*, as TCP probes a closed window). A remote that has read its bytes sends Resume.
//! - A remote that is paused cannot report that it is full, so it is sent no more than [`BLIND`]
//!   bytes between two signs that it reads.
//! - While a remote is paused and its bytes arrive all the same, each message to it is followed by
//!   a Pause: it forgets the last one by reading, but once its writer has met the flag, only a
//!   Resume wakes it.
//!
//! A watertight end that speaks this dialect keeps two flags: its Pause does not stop its own
//! writer. If its bytes keep arriving after it is paused, it is paused again before they are too
//! many; not sooner, because two ends that pause each other continue only when they probe.

use core::time::Duration;

use super::{Excess, Pressure};
use crate::Instant;
use crate::connection::RecvBuffer;
use crate::wire::Body;

/// Bytes sent to an end that cannot report that it is full: with the bytes that it held before,
/// about three times what it would hold otherwise.
const BLIND: usize = 1 << 20;

/// The bytes of a window probe.
const PROBE: usize = 1;

/// Unread bytes at which a remotedialer end sets its flag by itself.
const FULL: u64 = 2 << 20;

/// The time that a reader which keeps up takes before it sends Resume.
const FIRST_PROBE: Duration = Duration::from_millis(10);

/// The shortest and the longest time for which the flag is set for a probe.
const PROBE_TIME: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];

/// The shortest and the longest time between two probes.
const PROBE_INTERVAL: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(2)];

/// The part of the bytes that may wait unread above which the remote is paused again, even if it
/// ought to know.
const NEAR_LIMIT: usize = 4;

/// The state of the remote's flag, known and wanted.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct PauseFlag {
    /// Too much is unread here: the remote's writer is to wait.
    pauses: bool,
    /// The remote has paused this end.
    paused: Option<Paused>,
    flag: Flag,
    /// Bytes sent since the remote was last known to have space, while it cannot report it.
    blind: usize,
    /// Bytes that may be sent although this end is stopped.
    probe: usize,
    /// Bytes arrived since Pause was last sent: the remote's writer is awake.
    awake: bool,
    /// So many bytes wait unread that Pause is due with any wanted flag.
    near_limit: bool,
    /// This end sends nothing more, so it does not matter whether the remote pauses it.
    finished: bool,
    /// The remote paused this end after that and after the last message, and its writer was woken.
    woken: bool,
}

/// The remote has paused this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Paused {
    since: Instant,
    /// The flag is to be set, so that the remote can send Resume.
    probing: bool,
}

/// The remote's flag, as far as this end can know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Flag {
    #[default]
    Cleared,
    Set,
    /// The remote has cleared it, and its writer may sleep all the same.
    ClearedByRemote,
    /// The remote has set it, if it has but one.
    SetByRemote,
}

impl PauseFlag {
    /// Pause arrived.
    pub(crate) fn on_pause(&mut self, now: Instant) {
        if self.finished {
            // The remote is full of the last bytes. Its writer is woken once after each message:
            // two ends that wake each other at each Pause would never stop.
            if !core::mem::replace(&mut self.woken, true) {
                self.flag = Flag::Set;
            }
            return;
        }
        let since = self.paused.map_or(now, |paused| paused.since);
        self.paused = Some(Paused { since, probing: true });
        if self.flag != Flag::Set {
            (self.flag, self.awake) = (Flag::SetByRemote, false);
        }
        self.probe = 0;
    }

    /// Resume arrived.
    pub(crate) fn on_resume(&mut self) {
        // An unprompted Resume gets no answer: two ends that answer each other would never stop.
        if self.paused.is_some() || self.is_set() {
            self.flag = Flag::ClearedByRemote;
        }
        self.paused = None;
        (self.blind, self.probe) = (0, 0);
    }

    /// Whether the remote's writer is to wait for the reader of this end.
    pub(super) const fn pauses(&self) -> bool {
        self.pauses
    }

    pub(super) const fn set_pauses(&mut self, pauses: bool) {
        self.pauses = pauses;
    }

    /// Whether the remote should be paused, with what is unread.
    pub(super) fn should_pause(&self, recv: &RecvBuffer, pressure: &Pressure<'_>) -> bool {
        let limits = &pressure.limits.base;
        let tight = pressure.short_of_memory || pressure.unread > limits.unread_budget / 4;
        let above = if tight {
            // Connections that obey stay within the budget, however many there are.
            limits.resume_below.min(limits.unread_budget / 8 / pressure.connections.max(1))
        } else if self.pauses {
            limits.resume_below
        } else {
            limits.pause_above
        };
        recv.unread() > above
    }

    /// Whether a message has to change the flag.
    pub(super) fn is_due(&self) -> bool {
        match self.flag {
            // Bytes that follow the remote's Pause come from an end with two flags.
            Flag::SetByRemote => {
                self.wanted() != Flag::Set || (self.pauses && self.awake && self.near_limit)
            }
            flag => flag != self.wanted(),
        }
    }

    /// Takes the message that is due.
    pub(super) fn message(&mut self) -> Option<Body> {
        if !self.is_due() {
            return None;
        }
        self.flag = self.wanted();
        self.awake = false;
        debug_assert!(!self.is_due(), "a message is due again after it was sent");
        Some(match self.flag {
            Flag::Set => Body::Pause,
            _ => Body::Resume,
        })
    }

    const fn is_set(&self) -> bool {
        matches!(self.flag, Flag::Set | Flag::SetByRemote)
    }

    fn wanted(&self) -> Flag {
        let probing = self.paused.is_some_and(|paused| paused.probing);
        if self.pauses || probing { Flag::Set } else { Flag::Cleared }
    }

    /// Bytes that may be taken from the application.
    pub(super) fn writable(&self) -> usize {
        if self.paused.is_some() {
            self.probe
        } else if self.is_blind() {
            BLIND.saturating_sub(self.blind).max(self.probe)
        } else {
            usize::MAX
        }
    }

    /// A payload arrived: `Err` if the remote has continued to send past every bound.
    pub(super) fn on_received(
        &mut self,
        recv: &RecvBuffer,
        bytes: usize,
        pressure: &Pressure<'_>,
    ) -> Result<(), Excess> {
        let limits = &pressure.limits.base;
        let (unread, all) = (recv.unread() + bytes, pressure.unread + bytes);
        if unread > limits.unread_cap || all > limits.unread_budget {
            return Err(Excess::Overrun);
        }
        self.awake = true;
        self.near_limit =
            all > limits.unread_budget / NEAR_LIMIT || unread > limits.unread_cap / NEAR_LIMIT;
        Ok(())
    }

    /// Bytes were taken from the application.
    pub(super) fn on_written(&mut self, bytes: usize) {
        if self.pauses && self.awake && self.is_set() {
            // The remote clears the flag when it reads them, and reports it in vain for as long as
            // its writer keeps this direction busy. A writer that once meets the flag sleeps for
            // good.
            self.flag = Flag::ClearedByRemote;
        }
        // A remote that is full reports it when it is sent something while it can.
        self.blind = if self.is_blind() { self.blind.saturating_add(bytes) } else { 0 };
        self.probe = self.probe.saturating_sub(bytes);
    }

    /// Whether the remote cannot report that it is full.
    const fn is_blind(&self) -> bool {
        self.pauses || self.is_set()
    }

    /// Whether only probes are sent.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.finished && (self.paused.is_some() || (self.is_blind() && self.blind >= BLIND))
    }

    /// The time after which a connection that has just been stopped probes first.
    pub(crate) const fn first_probe() -> Duration {
        FIRST_PROBE
    }

    /// Sets the flag for a probe and allows a byte, or clears the flag again; the time until the
    /// next call. `waits`: the application has something to send.
    pub(crate) fn probe(&mut self, now: Instant, waits: bool) -> Duration {
        let Some(paused) = &mut self.paused else {
            self.probe = PROBE;
            return PROBE_INTERVAL[1];
        };
        debug_assert!(!self.finished, "an end that has finished probes");
        let paused_for = now - paused.since;
        paused.probing = !paused.probing && waits;
        if paused.probing || self.pauses {
            self.probe = PROBE;
        }
        let (divisor, [least, most]) =
            if paused.probing { (16, PROBE_TIME) } else { (8, PROBE_INTERVAL) };
        (paused_for / divisor).clamp(least, most)
    }

    /// Bytes were handed to the transport: the remote may be full of them.
    pub(super) const fn on_sent(&mut self) {
        self.woken = false;
    }

    /// Whether the remote pauses this end, and no probe runs.
    pub(crate) fn is_between_probes(&self) -> bool {
        self.paused.is_some_and(|paused| !paused.probing)
    }

    /// The application writes nothing more: there is nothing to probe for.
    pub(super) fn on_finished(&mut self) {
        self.finished = true;
        self.woken |= self.paused.take().is_some();
    }

    /// Whether the remote's writer may sleep on the flag after `sent` bytes: it would sleep on when
    /// the connection is gone (bug R6).
    pub(crate) fn may_be_set(&self, sent: u64) -> bool {
        self.flag != Flag::Cleared || sent > FULL
    }
}
