//! What a session's driver and the handles to its connections share.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Span, info_span, warn};
use watertight_core::registry::{RouteChange, says_no_such_client};
use watertight_core::wire::{ClientRoute, Dialect, GoAwayCode, ResetCode};
use watertight_core::{ConnectionEnd, ConnectionId, Event, Ledger, Session, SessionEnd};

use super::buffers::{Account, Buffers};
use super::clock::Clock;
use crate::log_limit::{Limits, shortened_text, some};
use crate::metrics::Meter;

/// A session behind its lock. Handles lock, call and unlock; nobody holds it across an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    span: Span,
    limits: Arc<Limits>,
    pub(super) account: Account,
    state: Mutex<State>,
}

/// The core session, and who waits for what.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Session,
    handles: BTreeMap<ConnectionId, Handle>,
    driver: Option<Waker>,
    woken: Woken,
    driver_is_due: bool,
    notices: VecDeque<Notice>,
    meter: Meter,
}

/// What the adapter knows of a connection for as long as somebody holds it.
#[derive(Debug, Default)]
pub(crate) struct Handle {
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) opened: bool,
    /// How it ended, once it has left the core's table.
    pub(crate) end: Option<ConnectionEnd>,
    pub(crate) read_deadline: Option<Instant>,
    pub(crate) write_deadline: Option<Instant>,
    /// The client that was dialled through a peer, until the peer is known to have it.
    pub(crate) client: Option<Box<str>>,
}

impl Handle {
    fn wake_both(&mut self, woken: &mut Woken) {
        woken.add(self.reader.take());
        woken.add(self.writer.take());
    }
}

/// What the driver passes on to the session's owner.
#[derive(Debug)]
pub(crate) enum Notice {
    Incoming {
        id: ConnectionId,
        target: String,
        within: Duration,
    },
    GoingAway {
        code: GoAwayCode,
        text: String,
    },
    ClientAdded(ClientRoute),
    ClientRemoved(ClientRoute),
    /// A peer turned out not to have a client that was dialled through it. It comes in order with
    /// what the peer announces, so that a client which comes back to it meanwhile is not forgotten.
    NoSuchClient {
        client: Box<str>,
    },
    Closed(SessionEnd),
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        core: Session,
        span: Span,
        limits: Arc<Limits>,
        buffers: &Buffers,
    ) -> Arc<Self> {
        let state = State {
            core,
            handles: BTreeMap::new(),
            driver: None,
            woken: Woken::default(),
            driver_is_due: false,
            notices: VecDeque::new(),
            meter: Meter::default(),
        };
        Arc::new_cyclic(|itself| Self {
            clock,
            span,
            limits,
            account: buffers.open(itself.clone()),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        // A panic under the lock is a bug in the core; the state is still whole enough to end it.
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Locked { state, woken: Woken::default() }
    }

    /// Runs a command on the core, wakes whom it concerns, and the driver with them.
    pub(crate) fn command<R>(
        &self,
        command: impl FnOnce(&mut Session, watertight_core::Instant) -> R,
    ) -> R {
        let now = self.clock.now();
        let mut state = self.lock();
        let result = command(&mut state.core, now);
        state.dispatch();
        if state.driver.is_some() {
            state.wake_driver();
        } else {
            // After the session's end nobody else reports what the handles let go.
            self.report(&mut state);
        }
        result
    }

    /// Brings metrics and accounts up to date, and keeps the bound of what all sessions hold.
    pub(crate) fn observe(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        self.report(&mut state);
        state.core.set_short_of_memory(now, self.account.is_short());
        drop(state);
        self.account.keep_bound();
    }

    /// Brings the account up to date. What the session holds.
    pub(super) fn report_held(&self) -> u64 {
        let mut state = self.lock();
        self.report(&mut state);
        self.account.held()
    }

    /// The application has read so many bytes; the caller holds the lock.
    pub(crate) fn has_read(&self, bytes: usize) {
        self.account.has_read(bytes);
    }

    fn report(&self, state: &mut State) {
        let State { meter, core, .. } = state;
        self.account.update(meter.observe(core));
    }

    /// Gives memory back, for want of it: the connection with the most unread bytes ends, or the session
    /// where most of its bytes wait for its transport.
    pub(super) fn shed(&self, buffers: &Buffers) {
        let limit = buffers.max();
        let text = "this end holds more bytes than it may, and the most of them here";
        let (in_copy, in_copies) = self.account.most_in_hand();
        let (ended, held) = self.command(|core, now| {
            let ledger = core.ledger();
            let unread = core.most_unread();
            let unread = unread.map(|(id, unread)| (id, unread as u64 + self.account.in_hand(id)));
            let most = unread.into_iter().chain(in_copy).max_by_key(|(_, held)| *held);
            let most = most.filter(|_| ledger.bytes_received + in_copies >= ledger.bytes_to_send);
            if let Some((id, held)) = most {
                // It may have ended already, and wait for its socket.
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

    /// Another session took over. One that drains takes no new dials, and its connections may run
    /// to their end; any other is closed.
    pub(crate) fn retire(&self, text: &str) {
        self.command(|core, now| {
            if !core.is_going_away() {
                core.close(now, GoAwayCode::REPLACED, text);
            }
        });
    }

    /// Tells a peer of a client. It only queues, and wakes nobody but the driver, so that the
    /// caller may hold the server's books: what is told must not overtake what was told before.
    pub(crate) fn announce(&self, change: RouteChange) {
        let now = self.clock.now();
        let mut state = self.lock();
        let (route, reachable) = match change {
            RouteChange::Added(route) => (route, true),
            RouteChange::Removed(route) => (route, false),
        };
        // The registry leaves out what a peer would not understand.
        state.core.announce(now, route, reachable).ok();
        state.wake_driver();
    }

    /// The span of a connection, which either end dialled.
    pub(crate) fn connection_span(&self, id: ConnectionId, target: &str) -> Span {
        let target = &*shortened_text(target);
        info_span!(parent: &self.span, "connection", %id, target)
    }

    /// Of lines that the remote may cause in a loop.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether one more refused dial may be logged for everybody to see; if so, how many were not
    /// before it.
    pub(crate) fn may_log_refusal(&self) -> Option<u64> {
        self.limits.dials.pass()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.lock().core.ledger()
    }
}

impl State {
    /// Hands the core's events to those who wait for them.
    pub(crate) fn dispatch(&mut self) {
        while let Some(event) = self.core.poll_event() {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Incoming { id, target, within } => {
                self.add_handle(id);
                self.notices.push_back(Notice::Incoming { id, target, within });
            }
            Event::Opened(id) => {
                // In the base dialect it says nothing.
                let answered = self.core.dialect() == Dialect::Extended;
                self.with_handle(id, |handle, woken| {
                    handle.opened = true;
                    handle.client.take_if(|_| answered);
                    handle.wake_both(woken);
                });
            }
            Event::Readable(id) => {
                self.with_handle(id, |handle, woken| woken.add(handle.reader.take()))
            }
            Event::Writable(id) => {
                self.with_handle(id, |handle, woken| woken.add(handle.writer.take()))
            }
            Event::Ended(id) => self.with_handle(id, Handle::wake_both),
            Event::Retired { id, end } => self.on_retired(id, end),
            Event::GoingAway { code, text } => {
                self.notices.push_back(Notice::GoingAway { code, text });
            }
            Event::Closed(end) => self.notices.push_back(Notice::Closed(end)),
            Event::ClientAdded(route) => self.notices.push_back(Notice::ClientAdded(route)),
            Event::ClientRemoved(route) => self.notices.push_back(Notice::ClientRemoved(route)),
            // The core's newer versions may have more to tell.
            _ => {}
        }
    }

    fn on_retired(&mut self, id: ConnectionId, end: ConnectionEnd) {
        let Some(handle) = self.handles.get_mut(&id) else { return };
        let dialled = handle.client.take();
        if let Some(client) = dialled.filter(|client| lacks_client(&end, client)) {
            self.notices.push_back(Notice::NoSuchClient { client });
        }
        handle.end = Some(end);
        handle.wake_both(&mut self.woken);
    }

    fn with_handle(&mut self, id: ConnectionId, act: impl FnOnce(&mut Handle, &mut Woken)) {
        if let Some(handle) = self.handles.get_mut(&id) {
            act(handle, &mut self.woken);
        }
    }

    pub(crate) fn add_handle(&mut self, id: ConnectionId) {
        self.handles.insert(id, Handle::default());
    }

    pub(crate) fn remove_handle(&mut self, id: ConnectionId) -> Option<Handle> {
        self.handles.remove(&id)
    }

    /// Connections that somebody holds.
    #[cfg(feature = "simulation")]
    pub(crate) fn handles(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn handle(&mut self, id: ConnectionId) -> Option<&mut Handle> {
        self.handles.get_mut(&id)
    }

    pub(crate) fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    pub(crate) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// Whom to wake when there is something to transmit or a deadline has moved.
    pub(crate) fn set_driver(&mut self, waker: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    pub(crate) fn wake_driver(&mut self) {
        self.driver_is_due = true;
    }

    pub(crate) fn forget_driver(&mut self) {
        self.driver = None;
    }
}

/// Whether a dial ended because the peer does not have the client.
fn lacks_client(end: &ConnectionEnd, client: &str) -> bool {
    match end.code {
        Some(code) => code == ResetCode::NO_SUCH_CLIENT,
        None => says_no_such_client(&end.text, client),
    }
}

/// A session's state for as long as it is locked.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    /// Dropped after the lock is given back.
    woken: Woken,
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
        self.woken = std::mem::take(&mut self.state.woken);
        if std::mem::take(&mut self.state.driver_is_due) {
            self.woken.add(self.state.driver.clone());
        }
    }
}

/// Those that are to be woken, which happens when it is dropped: outside the lock, for which they
/// would have to wait, and which they may already need in their own clean-up.
#[derive(Debug, Default)]
struct Woken {
    /// Mostly there is one, which then needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Woken {
    fn add(&mut self, waker: Option<Waker>) {
        if self.first.is_none() {
            self.first = waker;
        } else {
            self.more.extend(waker);
        }
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.first.take().into_iter().chain(self.more.drain(..)).for_each(Waker::wake);
    }
}
