//! The bound of the bytes that all sessions of a process hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;

use watertight_core::{ConnectionId, Ledger};

use crate::log_limit::LogLimit;
use crate::metrics::buffered_changed;
use crate::sync::{AtomicU64, Mutex, MutexGuard, PoisonError, TryLockError};

/// A bound for the bytes that sessions hold: bytes that wait for a transport, received bytes that
/// wait for a reader, and bytes in transit between a session and a socket. Clones share one bound,
/// so that the servers and agents of a process can, too.
///
/// Above half of it, windows shrink to their initial size, remotedialer ends are paused sooner, and
/// each connection accepts one more message from its writer at most. Above the bound, the session
/// that holds the most loses the connection with the most unread bytes, or is closed if most of its
/// bytes wait for its transport; other sessions are not affected. The buffers of sockets and
/// transports, and control messages, are not counted.
#[derive(Clone)]
pub struct Buffers(Arc<Inner>);

struct Inner {
    max: u64,
    held: AtomicU64,
    sessions: Mutex<Holders>,
    /// Held by the task that relieves.
    enforcing: Mutex<()>,
    warnings: LogLimit,
}

#[derive(Default)]
struct Holders {
    last: u64,
    sessions: BTreeMap<u64, Weak<dyn Holder>>,
}

/// A session that can reduce what it holds.
pub(super) trait Holder: Send + Sync {
    fn account(&self) -> &Account;

    /// Updates the account. Returns the bytes that the session holds.
    fn report_held(&self) -> u64;

    /// Frees memory: the connection with the most unread bytes is reset, or the session is closed
    /// if most of its bytes wait for its transport.
    fn shed(&self, buffers: &Buffers);
}

/// The account of one session.
#[derive(Debug)]
pub(super) struct Account {
    buffers: Buffers,
    number: u64,
    /// By the session's ledger.
    held: AtomicU64,
    splices: Mutex<Splices>,
}

/// The bytes that splices hold of a session's connections.
#[derive(Debug, Default)]
struct Splices {
    held: BTreeMap<ConnectionId, Held>,
    all: u64,
}

#[derive(Debug)]
struct Held {
    bytes: u64,
    /// Of the splice's task.
    waker: Waker,
}

impl Buffers {
    /// A bound of `max` bytes, and at least one.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self(Arc::new(Inner {
            max: max.max(1),
            held: AtomicU64::new(0),
            sessions: Mutex::default(),
            enforcing: Mutex::default(),
            warnings: LogLimit::default(),
        }))
    }

    /// The bound, in bytes.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.max
    }

    /// The bytes that are held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self, session: Weak<dyn Holder>) -> Account {
        let mut known = self.holders();
        known.last += 1;
        let number = known.last;
        let before = known.sessions.insert(number, session);
        debug_assert!(before.is_none(), "the number of an account is used once");
        drop(known);
        let splices = Mutex::default();
        Account { buffers: self.clone(), number, held: AtomicU64::new(0), splices }
    }

    fn exceeds_max(&self) -> bool {
        self.held() > self.max()
    }

    /// Resets or closes the largest holders until the rest is within the bound. The caller holds no
    /// session's lock.
    fn enforce(&self) {
        // One task at a time: a second one would find nothing left to free.
        let _guard = match self.0.enforcing.try_lock() {
            Ok(guard) => guard,
            // It guards no data.
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        while self.exceeds_max() {
            let Some(heaviest) = self.heaviest() else { return };
            let before = heaviest.account().held();
            // The reported bytes may have been read since.
            if heaviest.report_held() < before {
                continue;
            }
            heaviest.shed(self);
            if heaviest.account().held() >= before {
                return;
            }
        }
    }

    fn heaviest(&self) -> Option<Arc<dyn Holder>> {
        // Collected, so that the lock is released first: one of these may be the last handle to its
        // session, and its drop closes the account.
        let sessions: Vec<_> = self.holders().sessions.values().filter_map(Weak::upgrade).collect();
        sessions.into_iter().max_by_key(|session| session.account().held())
    }

    /// Whether one more line about it may be logged, and the number of lines left out before it.
    pub(super) fn may_warn(&self) -> Option<u64> {
        self.0.warnings.pass()
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed) + self.splices().all
    }

    /// The connection of which splices hold the most and those bytes, and the bytes of all.
    pub(super) fn most_in_hand(&self) -> (Option<(ConnectionId, u64)>, u64) {
        let splices = self.splices();
        let held = splices.held.iter().map(|(id, held)| (*id, held.bytes));
        (held.max_by_key(|(_, bytes)| *bytes), splices.all)
    }

    /// The bytes that a splice holds of a connection.
    pub(super) fn in_hand(&self, id: ConnectionId) -> u64 {
        self.splices().held.get(&id).map_or(0, |held| held.bytes)
    }

    /// Replaces the bytes in hand of a connection, of which there were `before`. `false` if these
    /// were written off.
    pub(super) fn replace(
        &self,
        id: ConnectionId,
        before: u64,
        bytes: u64,
        waker: Option<&Waker>,
    ) -> bool {
        let mut splices = self.splices();
        let held = waker.filter(|_| bytes > 0).map(|waker| Held { bytes, waker: waker.clone() });
        let known = match held {
            Some(held) => splices.held.insert(id, held),
            None => splices.held.remove(&id),
        };
        if known.is_none() && before > 0 {
            splices.held.remove(&id);
            return false;
        }
        let counted = known.map_or(0, |known| known.bytes);
        debug_assert_eq!(counted, before, "the account has the bytes that the splice set last");
        self.count(&mut splices, counted, bytes);
        true
    }

    /// Whether bytes of a connection are in hand.
    pub(super) fn has_in_hand(&self, id: ConnectionId) -> bool {
        self.splices().held.contains_key(&id)
    }

    /// Writes off the bytes that a splice holds of a connection, and wakes the splice.
    pub(super) fn write_off(&self, id: ConnectionId) {
        let mut splices = self.splices();
        if let Some(Held { bytes, waker }) = splices.held.remove(&id) {
            self.count(&mut splices, bytes, 0);
            drop(splices);
            waker.wake();
        }
    }

    fn count(&self, splices: &mut Splices, before: u64, now: u64) {
        debug_assert!(splices.all >= before, "the sum contains the bytes of each connection");
        splices.all = splices.all + now - before;
        debug_assert!(splices.all > 0 || splices.held.is_empty(), "no entry holds zero bytes");
        self.change(before, now);
        buffered_changed(before, now);
    }

    fn splices(&self) -> MutexGuard<'_, Splices> {
        self.splices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the bytes by the session's ledger; the caller holds the session's lock.
    pub(super) fn update(&self, ledger: &Ledger) {
        self.set(ledger.bytes_to_send + ledger.bytes_received);
    }

    /// Subtracts read bytes; the caller holds the session's lock. Some of them may not have been
    /// reported before.
    pub(super) fn has_read(&self, bytes: usize) {
        let held = self.held.load(Ordering::Relaxed);
        self.set(held.saturating_sub(bytes as u64));
    }

    fn set(&self, now: u64) {
        self.change(self.held.swap(now, Ordering::Relaxed), now);
    }

    /// Updates the sum of all sessions.
    fn change(&self, before: u64, now: u64) {
        let all = &self.buffers.0.held;
        if now >= before {
            all.fetch_add(now - before, Ordering::Relaxed);
        } else {
            let sum = all.fetch_sub(before - now, Ordering::Relaxed);
            debug_assert!(sum >= before - now, "the sum contains the bytes of each session");
        }
    }

    /// Whether all sessions together hold so much that each should hold less.
    pub(super) fn is_short(&self) -> bool {
        self.buffers.held() > self.buffers.max() / 2
    }

    /// Enforces the bound. The caller holds no session's lock.
    pub(super) fn keep_bound(&self) {
        if self.buffers.exceeds_max() {
            self.buffers.enforce();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.set(0);
        debug_assert_eq!(self.splices().all, 0, "splices end before their session's account");
        let removed = self.buffers.holders().sessions.remove(&self.number);
        debug_assert!(removed.is_some(), "an account is registered until it is dropped");
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
