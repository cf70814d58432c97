//! What all sessions of a process hold together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use watertight_core::{ConnectionId, Ledger};

use super::shared::Shared;
use crate::log_limit::LogLimit;
use crate::metrics::buffered_changed;
use crate::sync::{AtomicU64, Mutex, MutexGuard, PoisonError, TryLockError};

/// A bound for the bytes that sessions hold: those that wait for a transport, those that were received and
/// wait for whoever reads them, and those that are on their way between a session and a socket. Clones are one bound, so that the servers and agents of a
/// process can share one.
///
/// From half of it on, windows go back to their first size, remotedialer ends are paused sooner, and
/// writers have room for one message more in each connection. At the bound the session that holds the most
/// loses the connection with the most unread bytes, or ends where most of its bytes wait for its transport:
/// the others go on. What sockets and transports hold themselves is not counted, nor are control messages.
#[derive(Clone)]
pub struct Buffers(Arc<Inner>);

struct Inner {
    max: u64,
    held: AtomicU64,
    sessions: Mutex<Known>,
    /// Whoever has it makes room.
    relief: Mutex<()>,
    warnings: LogLimit,
}

#[derive(Default)]
struct Known {
    last: u64,
    sessions: BTreeMap<u64, Weak<Shared>>,
}

/// One session's part.
#[derive(Debug)]
pub(super) struct Account {
    buffers: Buffers,
    number: u64,
    /// By the session's books.
    held: AtomicU64,
    copies: Mutex<Copies>,
}

/// What copies hold of a session's connections.
#[derive(Debug, Default)]
struct Copies {
    held: BTreeMap<ConnectionId, Held>,
    all: u64,
}

#[derive(Debug)]
struct Held {
    bytes: u64,
    /// Of the copy.
    waker: Waker,
}

/// One connection's bytes on their way between the session and a socket: neither has them. Dropped, there are
/// none.
#[derive(Debug)]
pub(crate) struct InHand {
    session: Arc<Shared>,
    id: ConnectionId,
    bytes: u64,
    /// They were given up, and count no more.
    written_off: bool,
}

impl InHand {
    pub(crate) const fn new(session: Arc<Shared>, id: ConnectionId) -> Self {
        Self { session, id, bytes: 0, written_off: false }
    }

    /// So many are there now. The task is woken where they are [written off](Self::is_written_off).
    pub(crate) fn set(&mut self, bytes: usize, cx: &Context<'_>) {
        let bytes = bytes as u64;
        if bytes == self.bytes || self.written_off {
            return;
        }
        let held = Held { bytes, waker: cx.waker().clone() };
        self.replace(Some(held).filter(|held| held.bytes > 0));
        self.bytes = bytes;
    }

    fn replace(&mut self, held: Option<Held>) {
        let account = &self.session.account;
        let mut copies = account.copies();
        let now = held.as_ref().map_or(0, |held| held.bytes);
        let before = match held {
            Some(held) => copies.held.insert(self.id, held),
            None => copies.held.remove(&self.id),
        };
        if before.is_none() && self.bytes > 0 {
            copies.held.remove(&self.id);
            self.written_off = true;
            return;
        }
        account.count(&mut copies, before.map_or(0, |before| before.bytes), now);
    }

    /// Whether the connection was ended for want of memory, so that the copy is to end at once.
    pub(crate) fn is_written_off(&mut self) -> bool {
        let is_known = || self.session.account.copies().held.contains_key(&self.id);
        self.written_off |= self.bytes > 0 && !is_known();
        self.written_off
    }

    /// Whether there should be few.
    pub(crate) fn is_short(&self) -> bool {
        self.session.account.is_short()
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if self.bytes > 0 && !self.written_off {
            self.replace(None);
        }
    }
}

impl Buffers {
    /// At most `max` bytes, which is at least one.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self(Arc::new(Inner {
            max: max.max(1),
            held: AtomicU64::new(0),
            sessions: Mutex::default(),
            relief: Mutex::default(),
            warnings: LogLimit::default(),
        }))
    }

    /// How many bytes there may be.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.max
    }

    /// How many there are.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self, session: Weak<Shared>) -> Account {
        let mut known = self.known();
        known.last += 1;
        let number = known.last;
        known.sessions.insert(number, session);
        drop(known);
        let copies = Mutex::default();
        Account { buffers: self.clone(), number, held: AtomicU64::new(0), copies }
    }

    fn is_over(&self) -> bool {
        self.held() > self.max()
    }

    /// Ends what holds the most until the rest is within the bound. The caller holds no session's lock.
    fn relieve(&self) {
        // One at a time: a second one would find nothing left to do.
        let _turn = match self.0.relief.try_lock() {
            Ok(turn) => turn,
            // It guards no data.
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        while self.is_over() {
            let Some(heaviest) = self.heaviest() else { return };
            let before = heaviest.account.held();
            // What was reported may have been read since.
            if heaviest.report_held() < before {
                continue;
            }
            heaviest.shed(self);
            if heaviest.account.held() >= before {
                return;
            }
        }
    }

    fn heaviest(&self) -> Option<Arc<Shared>> {
        // The last handle to a session may be among them, and closes the session's account.
        let sessions: Vec<_> = self.known().sessions.values().filter_map(Weak::upgrade).collect();
        sessions.into_iter().max_by_key(|session| session.account.held())
    }

    /// Whether one more line about it may be logged, and how many were not before it.
    pub(super) fn may_warn(&self) -> Option<u64> {
        self.0.warnings.pass()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed) + self.copies().all
    }

    /// What copies hold: of which connection the most, and how much of it and of all.
    pub(super) fn most_in_hand(&self) -> (Option<(ConnectionId, u64)>, u64) {
        let copies = self.copies();
        let held = copies.held.iter().map(|(id, held)| (*id, held.bytes));
        (held.max_by_key(|(_, bytes)| *bytes), copies.all)
    }

    /// What a copy holds of a connection.
    pub(super) fn in_hand(&self, id: ConnectionId) -> u64 {
        self.copies().held.get(&id).map_or(0, |held| held.bytes)
    }

    /// Gives up what a copy holds of a connection.
    pub(super) fn write_off(&self, id: ConnectionId) {
        let mut copies = self.copies();
        if let Some(Held { bytes, waker }) = copies.held.remove(&id) {
            self.count(&mut copies, bytes, 0);
            drop(copies);
            waker.wake();
        }
    }

    fn count(&self, copies: &mut Copies, before: u64, now: u64) {
        copies.all = copies.all + now - before;
        self.change(before, now);
        buffered_changed(before, now);
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session's books say this now; the caller holds its lock.
    pub(super) fn update(&self, ledger: &Ledger) {
        self.set(ledger.bytes_to_send + ledger.bytes_received);
    }

    /// So many bytes were read; the caller holds the session's lock. Not all of them may have been reported.
    pub(super) fn has_read(&self, bytes: usize) {
        let held = self.held.load(Ordering::Relaxed);
        self.set(held.saturating_sub(bytes as u64));
    }

    fn set(&self, now: u64) {
        self.change(self.held.swap(now, Ordering::Relaxed), now);
    }

    /// Brings what all sessions hold up to date.
    fn change(&self, before: u64, now: u64) {
        let all = &self.buffers.0.held;
        if now >= before {
            all.fetch_add(now - before, Ordering::Relaxed);
        } else {
            all.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Whether all sessions together hold so much that each should hold less.
    pub(super) fn is_short(&self) -> bool {
        self.buffers.held() > self.buffers.max() / 2
    }

    /// Keeps the bound. The caller holds no session's lock.
    pub(super) fn keep_bound(&self) {
        if self.buffers.is_over() {
            self.buffers.relieve();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.set(0);
        self.buffers.known().sessions.remove(&self.number);
    }
}

impl Default for Buffers {
    /// 1 GiB.
    fn default() -> Self {
        Self::new(1 << 30)
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("max", &self.max()).field("held", &self.held()).finish()
    }
}
