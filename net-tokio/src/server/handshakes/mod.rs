//! Sockets without a session yet. Anybody can open one, so their number has a bound, and no source
//! can exclude the others: above the bound, the oldest sockets of the source with the most are
//! closed.

mod queue;
mod shares;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::log_limit::LogLimit;
use crate::metrics::{handshake_refused, handshakes_changed};

use queue::{Change, Overdue, Queue, QueueLimits};
pub(super) use shares::Source;

/// Waiting sockets for each running handshake. They cost a descriptor and a small task each, and
/// absorb a fleet that reconnects at once.
const WAITING: usize = 4;

/// All handshakes of a server.
#[derive(Debug)]
pub(super) struct Handshakes {
    max: usize,
    state: Mutex<State>,
    warnings: LogLimit,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    signals: BTreeMap<u64, Arc<Signal>>,
    closed: bool,
}

/// Signals to a socket's task.
#[derive(Debug, Default)]
struct Signal {
    run: Notify,
    evicted: CancellationToken,
}

/// The slot of one socket, released on drop.
#[derive(Debug)]
pub(super) struct Handshake {
    number: u64,
    signal: Arc<Signal>,
    all: Arc<Handshakes>,
}

impl Handshakes {
    /// At most `max` run at once, and four times as many sockets wait.
    pub(super) fn new(max: usize) -> Self {
        let limits =
            QueueLimits { running: max.max(1), waiting: max.max(1).saturating_mul(WAITING) };
        let state = State { queue: Queue::new(limits), signals: BTreeMap::new(), closed: false };
        Self { max: limits.running, state: Mutex::new(state), warnings: LogLimit::default() }
    }

    /// Adds an accepted socket. `None` if it exceeds the share of its source, or the server stops.
    pub(super) fn add(self: &Arc<Self>, remote: Option<SocketAddr>) -> Option<Handshake> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let Change { result, evicted } = state.queue.add(Source::of(remote));
        let added = result.map(|number| {
            let signal = Arc::<Signal>::default();
            let before = state.signals.insert(number, Arc::clone(&signal));
            debug_assert!(before.is_none(), "the number of a socket is used once");
            Handshake { number, signal, all: Arc::clone(self) }
        });
        if added.is_some() {
            handshakes_changed(1.0);
        }
        let is_full = added.is_none() || evicted.is_some();
        state.evict(evicted);
        let heaviest = state.queue.heaviest().filter(|_| is_full);
        drop(state);
        if added.is_none() {
            handshake_refused("crowded");
        }
        if let Some((source, sockets)) = heaviest {
            self.warn(source, sockets);
        }
        added
    }

    /// Sockets without a session.
    #[cfg(feature = "simulation")]
    pub(super) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Closes all of them, and admits no more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let signals = std::mem::take(&mut state.signals);
        for signal in signals.values() {
            signal.evicted.cancel();
            handshakes_changed(-1.0);
        }
    }

    /// Closes a waiting socket, to free its descriptor. `false` if there is none.
    pub(super) fn evict_waiting(&self) -> bool {
        let mut state = self.lock();
        let evicted = state.queue.evict_waiting();
        state.evict(evicted);
        evicted.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn warn(&self, source: Source, sockets: usize) {
        let limit = self.max;
        match self.warnings.pass() {
            Some(left_out) => warn!(
                %source,
                sockets,
                limit,
                left_out,
                "too many sockets are no sessions yet: the oldest of this source are closed"
            ),
            None => debug!(%source, sockets, limit, "a socket without a session is closed"),
        }
    }
}

impl State {
    fn evict(&mut self, number: Option<u64>) {
        debug_assert!(self.can_signal(number), "an evicted socket has a signal");
        if let Some(signal) = number.and_then(|number| self.signals.remove(&number)) {
            signal.evicted.cancel();
            handshake_refused("crowded");
            handshakes_changed(-1.0);
        }
    }

    fn run(&self, number: Option<u64>) {
        debug_assert!(self.can_signal(number), "a socket that runs has a signal");
        if let Some(signal) = number.and_then(|number| self.signals.get(&number)) {
            signal.run.notify_one();
        }
    }

    /// Whether the socket, if there is one, has a signal. A closed server has none.
    fn can_signal(&self, number: Option<u64>) -> bool {
        self.closed || number.is_none_or(|number| self.signals.contains_key(&number))
    }
}

impl Handshake {
    /// The first byte has arrived: waits until the handshake may run. Cancel safe: the position in
    /// the queue is lost only with the handshake.
    pub(super) async fn wait_to_run(&self) {
        let Change { result: runs, evicted } = {
            let mut state = self.all.lock();
            let change = state.queue.first_byte(self.number, Instant::now());
            state.evict(change.evicted);
            change
        };
        if evicted.is_some() {
            self.warn();
        }
        if runs {
            return;
        }
        loop {
            let until = self.evict_overdue();
            tokio::select! {
                biased;
                () = self.signal.run.notified() => return,
                () = sleep_until(until) => {}
            }
        }
    }

    /// Closes a handshake that takes too long, if one waits. Returns when to try again.
    fn evict_overdue(&self) -> Instant {
        let (now, mut state) = (Instant::now(), self.all.lock());
        match state.queue.evict_overdue(now) {
            Overdue::Swap { evicted, next } => {
                state.evict(Some(evicted));
                state.run(Some(next));
                drop(state);
                self.warn();
                now
            }
            Overdue::Until(until) => until,
        }
    }

    fn warn(&self) {
        let heaviest = self.all.lock().queue.heaviest();
        if let Some((source, sockets)) = heaviest {
            self.all.warn(source, sockets);
        }
    }

    /// The remote has sent its credentials. The hook's time is not the remote's fault, so that it
    /// is not evicted meanwhile.
    pub(super) fn authenticates(&self) {
        self.all.lock().queue.authenticate(self.number);
    }

    /// The server delayed the handshake, which must not be evicted for that.
    pub(super) fn restarts(&self) {
        self.all.lock().queue.restart(self.number, Instant::now());
    }

    /// The remote was refused. It may take its time to receive the answer, as long as no other
    /// socket needs the slot.
    pub(super) fn refused(&self) {
        self.all.lock().queue.refuse(self.number, Instant::now());
    }

    /// Waits until the socket must be closed for another one. Cancel safe.
    pub(super) async fn evicted(&self) {
        self.signal.evicted.cancelled().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        if state.signals.remove(&self.number).is_some() {
            handshakes_changed(-1.0);
        }
        let next = state.queue.leave(self.number, Instant::now());
        state.run(next);
    }
}
