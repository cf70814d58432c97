//! Pause and Resume with a remotedialer end (base dialect).
//!
//! That end keeps **one** flag a connection for both directions, and its writer sleeps while the
//! flag is set (bugs R1 to R3, R6). Four things change it:
//!
//! | what | the flag | said | its writer |
//! | --- | --- | --- | --- |
//! | our Pause arrives | set | | sleeps |
//! | our Resume arrives | cleared | | is woken |
//! | 2 MiB wait unread, and it is not set | set | Pause | sleeps |
//! | less than 256 KiB wait unread after a read, and it is set | cleared | Resume | sleeps on |
//!
//! So such an end stops itself when it is full, does not wake itself, forgets that we asked it to
//! stop, and says neither Pause nor Resume when the flag was changed meanwhile. This is how it is
//! led past that:
//!
//! - Its Resume is answered with what the flag ought to be: Resume, which wakes its writer, or
//!   Pause once more.
//! - Paused, we leave the flag set for a moment, because a reader that keeps up resumes us then.
//!   After it the flag is cleared, so that the writer of an end whose reader waits for it goes on;
//!   and set again from time to time for a moment with one byte behind it (a *probe*, as TCP
//!   probes a closed window). If that end has read what it had, it says Resume.
//! - While we pause it, it cannot say that it is full, so it is sent no more than [`BLIND`] between
//!   two signs that it reads.
//! - While we pause it and its bytes arrive all the same, Pause goes out with each of our messages:
//!   it forgets the last one by reading, but once its writer has met the flag, only our Resume wakes
//!   it.
//!
//! A watertight end that speaks this dialect keeps two flags: its Pause does not stop its own writer. So
//! one whose bytes go on coming after it is told to wait, too, before there are too many of them; not
//! sooner, because two ends that hold each other go on only when they look.

use core::time::Duration;

use crate::Instant;

/// Bytes sent to an end that cannot say when it is full: with those that it held before, about
/// three times what it would hold otherwise.
const BLIND: usize = 1 << 20;

/// What one probe sends.
const PROBE: usize = 1;

/// Unread bytes at which a remotedialer end sets its flag by itself.
const FULL: u64 = 2 << 20;

/// How long a reader that keeps up takes to make room.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// The shortest and the longest time for which the flag is set for a probe.
const LOOK: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(100)];

/// The shortest and the longest time between two probes.
const REST: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(2)];

/// What we know of the flag and want from it.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct PauseFlag {
    /// Too much is unread here: the other end's writer is to wait.
    holds: bool,
    held: Option<Held>,
    told: Told,
    /// Bytes sent since we last knew that the other end has room, while it cannot say otherwise.
    blind: usize,
    /// Bytes that may be sent although nothing may.
    probe: usize,
    /// Bytes arrived since Pause was last said: the other end's writer is awake.
    awake: bool,
    /// So many bytes wait unread that it is time to say Pause whatever the flag ought to be.
    brims: bool,
    /// We send nothing more, so it does not matter whether the other end holds us.
    finished: bool,
    /// The other end held us after that and after the last message, and its writer was told to go
    /// on.
    freed: bool,
}

/// The other end holds us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    since: Instant,
    /// The flag is to be set, so that the other end can say Resume.
    looks: bool,
}

/// What the flag is, as far as we can know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Told {
    #[default]
    Cleared,
    Set,
    /// The other end has cleared it, and its writer may sleep all the same.
    ClearedItself,
    /// The other end has set it, if it has but one.
    SetItself,
}

impl PauseFlag {
    /// Pause arrived.
    pub(crate) fn on_pause(&mut self, now: Instant) {
        if self.finished {
            // Full of our last bytes. It is freed once after each message: two ends that free each
            // other whenever they are told to wait would never stop.
            if !core::mem::replace(&mut self.freed, true) {
                self.told = Told::Set;
            }
            return;
        }
        let since = self.held.map_or(now, |held| held.since);
        self.held = Some(Held { since, looks: true });
        if self.told != Told::Set {
            (self.told, self.awake) = (Told::SetItself, false);
        }
        self.probe = 0;
    }

    /// Resume arrived.
    pub(crate) fn on_resume(&mut self) {
        // An end that had no reason to say it needs no answer: two that answer each other would
        // never stop.
        if self.held.is_some() || self.is_set() {
            self.told = Told::ClearedItself;
        }
        self.held = None;
        (self.blind, self.probe) = (0, 0);
    }

    /// Whether the other end's writer is to wait for our reader.
    pub(crate) const fn holds(&self) -> bool {
        self.holds
    }

    pub(crate) const fn set_holds(&mut self, holds: bool) {
        self.holds = holds;
    }

    /// Whether the flag is to be changed by a message.
    pub(crate) fn is_due(&self) -> bool {
        match self.told {
            // Bytes that come after its Pause come from an end with two flags.
            Told::SetItself => {
                self.wanted() != Told::Set || (self.holds && self.awake && self.brims)
            }
            told => told != self.wanted(),
        }
    }

    /// Takes the message that is due: `true` for Pause, `false` for Resume.
    pub(crate) fn message(&mut self) -> Option<bool> {
        if !self.is_due() {
            return None;
        }
        self.told = self.wanted();
        self.awake = false;
        Some(self.told == Told::Set)
    }

    const fn is_set(&self) -> bool {
        matches!(self.told, Told::Set | Told::SetItself)
    }

    fn wanted(&self) -> Told {
        let looks = self.held.is_some_and(|held| held.looks);
        if self.holds || looks { Told::Set } else { Told::Cleared }
    }

    /// Bytes that may be taken from the application.
    pub(crate) fn room(&self) -> usize {
        if self.held.is_some() {
            self.probe
        } else if self.is_blind() {
            BLIND.saturating_sub(self.blind).max(self.probe)
        } else {
            usize::MAX
        }
    }

    /// Bytes arrived. `brims` tells whether a good part of those that may wait unread do.
    pub(crate) const fn on_data(&mut self, brims: bool) {
        self.awake = true;
        self.brims = brims;
    }

    /// Bytes were taken from the application.
    pub(crate) fn took(&mut self, bytes: usize) {
        if self.holds && self.awake && self.is_set() {
            // That end clears the flag when it reads them, and says so in vain for as long as its
            // writer keeps the way here busy. A writer that once meets the flag sleeps for good.
            self.told = Told::ClearedItself;
        }
        // One that is full says so when it is sent something while it can.
        self.blind = if self.is_blind() { self.blind.saturating_add(bytes) } else { 0 };
        self.probe = self.probe.saturating_sub(bytes);
    }

    /// Whether the other end cannot say that it is full.
    const fn is_blind(&self) -> bool {
        self.holds || self.is_set()
    }

    /// Whether only probes are sent.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.finished && (self.held.is_some() || (self.is_blind() && self.blind >= BLIND))
    }

    /// When a connection that has just been stopped looks for the first time.
    pub(crate) const fn first_look() -> Duration {
        FIRST_LOOK
    }

    /// A connection that is stopped sets the flag and may send a byte, or clears the flag again;
    /// how long to wait after it. `waits` tells whether the application has something to send.
    pub(crate) fn look(&mut self, now: Instant, waits: bool) -> Duration {
        let Some(held) = &mut self.held else {
            self.probe = PROBE;
            return REST[1];
        };
        let for_so_long = now - held.since;
        held.looks = !held.looks && waits;
        if held.looks || self.holds {
            self.probe = PROBE;
        }
        let (divisor, [least, most]) = if held.looks { (16, LOOK) } else { (8, REST) };
        (for_so_long / divisor).clamp(least, most)
    }

    /// Bytes went out: the other end may be full of them.
    pub(crate) const fn on_sent(&mut self) {
        self.freed = false;
    }

    /// Whether the other end holds us and is not asked whether we may go on.
    pub(crate) fn rests(&self) -> bool {
        self.held.is_some_and(|held| !held.looks)
    }

    /// Our application writes nothing more: there is nothing to ask for.
    pub(crate) fn on_finished(&mut self) {
        self.finished = true;
        self.freed |= self.held.take().is_some();
    }

    /// Whether the other end's writer may sleep on the flag after `sent` bytes: then it would
    /// sleep on when the connection is gone (bug R6).
    pub(crate) fn may_be_set(&self, sent: u64) -> bool {
        self.told != Told::Cleared || sent > FULL
    }
}
