//! A session behind its lock, and the tasks that are woken once the lock is released.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};

use tracing::{Span, info_span, warn};
use watertight_core::registry::RouteChange;
use watertight_core::wire::{GoAwayCode, ResetCode};
use watertight_core::{ConnectionId, Ledger, Session};

use super::buffers::{Account, Buffers, Holder};
use super::state::{Input, Notice, Output, State, Turn, Wakers};
use crate::log_limit::{Limits, shortened_text, some};
use crate::sync::Clock;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// A session that its driver and the handles to its connections share. Each of them locks, calls
/// and unlocks; none holds the lock across an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    span: Span,
    limits: Arc<Limits>,
    pub(super) account: Account,
    state: Mutex<State>,
    /// The number of times it was locked.
    #[cfg(test)]
    pub(super) locks: std::sync::atomic::AtomicUsize,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        core: Session,
        span: Span,
        limits: Arc<Limits>,
        buffers: &Buffers,
    ) -> Arc<Self> {
        Arc::new_cyclic(|itself| Self {
            clock,
            span,
            limits,
            account: buffers.open(itself.clone() as Weak<dyn Holder>),
            state: Mutex::new(State::new(core)),
            #[cfg(test)]
            locks: std::sync::atomic::AtomicUsize::new(0),
        })
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        // A panic under the lock is a bug in the core; the state is still consistent enough to end
        // it.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(test)]
        self.locks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Locked { state, wakers: Wakers::default() }
    }

    /// A turn of the driver, in one critical section.
    pub(super) fn turn(&self, driver: &Waker, input: Input, output: &mut Output<'_>) -> Turn {
        let now = self.clock.now();
        let mut state = self.lock();
        state.set_driver(driver);
        let turn = state.turn(now, input, output);
        self.report(&mut state);
        state.core.set_short_of_memory(now, self.account.is_short());
        drop(state);
        self.account.keep_bound();
        turn
    }

    /// Ends the session with its driver. Returns the notices that are left for its owner.
    pub(super) fn end_driver(&self, reason: &str) -> VecDeque<Notice> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.core.handle_transport_ended(now, reason);
        state.dispatch();
        self.report(&mut state);
        state.end_driver()
    }

    /// Runs a command on the core, and wakes the driver and the tasks that its events concern.
    pub(crate) fn command<R>(
        &self,
        command: impl FnOnce(&mut Session, watertight_core::Instant) -> R,
    ) -> R {
        self.command_then(command, |_| ()).0
    }

    /// As [`command`](Self::command), with something that follows it under the same lock.
    pub(crate) fn command_then<R, S>(
        &self,
        command: impl FnOnce(&mut Session, watertight_core::Instant) -> R,
        then: impl FnOnce(&mut State) -> S,
    ) -> (R, S) {
        let now = self.clock.now();
        let mut state = self.lock();
        let result = command(&mut state.core, now);
        state.dispatch();
        if state.is_driven() {
            state.wake_driver();
        } else {
            // After the end of the session, only the handles report what they release.
            self.report(&mut state);
        }
        let then = then(&mut state);
        (result, then)
    }

    /// Updates metrics and the account. The caller has locked the session.
    pub(super) fn report(&self, state: &mut State) {
        self.account.update(state.observe());
    }

    /// Subtracts read bytes from the account. The caller has locked the session.
    pub(crate) fn has_read(&self, bytes: usize) {
        self.account.has_read(bytes);
    }

    /// A newer session of the client replaced this one. A session that drains takes no new dials,
    /// and its connections may run to their end; any other is closed.
    pub(crate) fn retire(&self, text: &str) {
        self.command(|core, now| {
            if !core.is_going_away() {
                core.close(now, GoAwayCode::REPLACED, text);
            }
        });
    }

    /// Announces a client to a peer. It only queues, and wakes nobody but the driver, so that the
    /// caller may hold the server's lock: announcements must not overtake each other.
    pub(crate) fn announce(&self, change: RouteChange) {
        let now = self.clock.now();
        let mut state = self.lock();
        let (route, reachable) = match change {
            RouteChange::Added(route) => (route, true),
            RouteChange::Removed(route) => (route, false),
        };
        // The registry leaves out routes that a peer would not understand.
        state.core.announce(now, route, reachable).ok();
        state.wake_driver();
    }

    /// The span of a connection, which either end dialled.
    pub(crate) fn connection_span(&self, id: ConnectionId, target: &str) -> Span {
        let target = &*shortened_text(target);
        info_span!(parent: &self.span, "connection", %id, target)
    }

    /// Limits of log lines that the remote can cause in a loop.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether one more refused dial may be logged at a visible level; if so, how many were left
    /// out before it.
    pub(crate) fn may_log_refusal(&self) -> Option<u64> {
        self.limits.dials.pass()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.lock().core.ledger()
    }
}

impl Holder for Shared {
    fn account(&self) -> &Account {
        &self.account
    }

    fn report_held(&self) -> u64 {
        self.report(&mut self.lock());
        self.account.held()
    }

    fn shed(&self, buffers: &Buffers) {
        let limit = buffers.max();
        let text = "this end holds more bytes than it may, and the most of them here";
        let (in_splice, in_splices) = self.account.most_in_hand();
        let (ended, held) = self.command(|core, now| {
            let ledger = core.ledger();
            let unread = core.most_unread();
            let unread = unread.map(|(id, unread)| (id, unread as u64 + self.account.in_hand(id)));
            let most = unread.into_iter().chain(in_splice).max_by_key(|(_, held)| *held);
            let most = most.filter(|_| ledger.bytes_received + in_splices >= ledger.bytes_to_send);
            if let Some((id, held)) = most {
                // It may have ended already, while its splice waits for the socket.
                core.reset(now, id, ResetCode::LIMIT, text).ok();
                self.account.write_off(id);
                (format!("connection {id}"), held)
            } else if ledger.bytes_to_send > 0 {
                core.close(now, GoAwayCode::LIMIT, text);
                ("the session".to_string(), ledger.bytes_to_send)
            } else {
                (String::new(), 0)
            }
        });
        self.report(&mut self.lock());
        if held > 0
            && let Some(left_out) = buffers.may_warn().map(some)
        {
            self.span.in_scope(|| warn!(ended, held, limit, left_out, "{text}"));
        }
    }
}

/// The bytes of a connection in transit between the session and a socket. Its drop removes them
/// from the account.
#[derive(Debug)]
pub(crate) struct InHand {
    session: Arc<Shared>,
    id: ConnectionId,
    bytes: u64,
    /// Whether they were written off, and are not counted any more.
    written_off: bool,
}

impl InHand {
    pub(crate) const fn new(session: Arc<Shared>, id: ConnectionId) -> Self {
        Self { session, id, bytes: 0, written_off: false }
    }

    /// Sets the number of bytes. The task is woken if they are [written off](Self::is_written_off).
    pub(crate) fn set(&mut self, bytes: usize, cx: &Context<'_>) {
        let bytes = bytes as u64;
        if bytes == self.bytes || self.written_off {
            return;
        }
        let account = &self.session.account;
        self.written_off = !account.replace(self.id, self.bytes, bytes, Some(cx.waker()));
        self.bytes = bytes;
    }

    /// Whether the connection was reset for lack of memory, so that the splice must end at once.
    pub(crate) fn is_written_off(&mut self) -> bool {
        self.written_off |= self.bytes > 0 && !self.session.account.has_in_hand(self.id);
        self.written_off
    }

    /// Whether memory is short, so that the splice should hold less.
    pub(crate) fn is_short(&self) -> bool {
        self.session.account.is_short()
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if self.bytes > 0 && !self.written_off {
            self.session.account.replace(self.id, self.bytes, 0, None);
        }
    }
}

/// A locked session. The tasks to wake are woken after the lock is released.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    // Declared first, so dropped first: see `Wakers`.
    state: MutexGuard<'a, State>,
    wakers: Wakers,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.wakers = self.state.take_wakers();
    }
}
