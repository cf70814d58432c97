//! What all sessions of a process hold together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use watertight_core::Ledger;

use super::state::Shared;
use crate::log_limit::LogLimit;

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
    in_hand: AtomicU64,
}

/// Bytes on their way between a session and a socket: neither has them. Dropped, it has none.
#[derive(Debug)]
pub(crate) struct InHand {
    session: Arc<Shared>,
    bytes: u64,
}

impl InHand {
    pub(crate) const fn new(session: Arc<Shared>) -> Self {
        Self { session, bytes: 0 }
    }

    /// So many are there now.
    pub(crate) fn set(&mut self, bytes: usize) {
        let (now, before) = (bytes as u64, self.bytes);
        if now == before {
            return;
        }
        self.bytes = now;
        let account = &self.session.account;
        for counter in [&account.in_hand, &account.buffers.0.held] {
            if now > before {
                counter.fetch_add(now - before, Ordering::Relaxed);
            } else {
                counter.fetch_sub(before - now, Ordering::Relaxed);
            }
        }
    }

    /// Whether there should be few.
    pub(crate) fn is_short(&self) -> bool {
        self.session.account.is_short()
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.set(0);
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
        let [held, in_hand] = [(); 2].map(|()| AtomicU64::new(0));
        Account { buffers: self.clone(), number, held, in_hand }
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
        self.held.load(Ordering::Relaxed) + self.in_hand.load(Ordering::Relaxed)
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
        let before = self.held.swap(now, Ordering::Relaxed);
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
