//! Sockets that are no sessions yet. Anybody can open one, so their number has a bound, and within it
//! nobody keeps the others out: under pressure the oldest ones of the source with the most of them go.

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

use queue::{Limits, Moved, Press, Queue};
pub(super) use shares::Source;

/// Sockets that wait for each handshake that may run. They cost a descriptor and a small task each,
/// and hold what a fleet sends that comes back at once.
const WAITING: usize = 4;

/// All of a server's.
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

/// What a socket is told.
#[derive(Debug, Default)]
struct Signal {
    turn: Notify,
    evicted: CancellationToken,
}

/// One socket's part. Dropped, it makes room for another one.
#[derive(Debug)]
pub(super) struct Handshake {
    number: u64,
    signal: Arc<Signal>,
    all: Arc<Handshakes>,
}

impl Handshakes {
    /// At most `max` run at once, and four times as many sockets wait.
    pub(super) fn new(max: usize) -> Self {
        let limits = Limits { running: max.max(1), waiting: max.max(1).saturating_mul(WAITING) };
        let state = State { queue: Queue::new(limits), signals: BTreeMap::new(), closed: false };
        Self { max: limits.running, state: Mutex::new(state), warnings: LogLimit::default() }
    }

    /// Takes in a socket that was accepted. `None` if it is one too many of its source, or comes too
    /// late.
    pub(super) fn enter(self: &Arc<Self>, remote: Option<SocketAddr>) -> Option<Handshake> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let Moved { result, evicted } = state.queue.enter(Source::of(remote));
        let entered = result.map(|number| {
            let signal = Arc::<Signal>::default();
            state.signals.insert(number, Arc::clone(&signal));
            Handshake { number, signal, all: Arc::clone(self) }
        });
        if entered.is_some() {
            handshakes_changed(1.0);
        }
        let is_full = entered.is_none() || evicted.is_some();
        state.evict(evicted);
        let heaviest = state.queue.heaviest().filter(|_| is_full);
        drop(state);
        if entered.is_none() {
            handshake_refused("crowded");
        }
        if let Some((source, sockets)) = heaviest {
            self.warn(source, sockets);
        }
        entered
    }

    /// Sockets that are no sessions yet.
    #[cfg(feature = "simulation")]
    pub(super) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Ends those that there are, and takes in no more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let signals = std::mem::take(&mut state.signals);
        for signal in signals.values() {
            signal.evicted.cancel();
            handshakes_changed(-1.0);
        }
    }

    /// Lets a waiting socket go, to give its descriptor back. `false` if there is none.
    pub(super) fn relieve(&self) -> bool {
        let mut state = self.lock();
        let evicted = state.queue.relieve();
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
            None => debug!(%source, sockets, limit, "a socket that is no session yet is closed"),
        }
    }
}

impl State {
    fn evict(&mut self, number: Option<u64>) {
        if let Some(signal) = number.and_then(|number| self.signals.remove(&number)) {
            signal.evicted.cancel();
            handshake_refused("crowded");
            handshakes_changed(-1.0);
        }
    }

    fn run(&self, number: Option<u64>) {
        if let Some(signal) = number.and_then(|number| self.signals.get(&number)) {
            signal.turn.notify_one();
        }
    }
}

impl Handshake {
    /// The first byte has arrived: waits until the handshake may run. Cancel safe: the socket's place
    /// in the queue is lost only with the handshake.
    pub(super) async fn turn(&self) {
        let Moved { result: runs, evicted } = {
            let mut state = self.all.lock();
            let moved = state.queue.speak(self.number, Instant::now());
            state.evict(moved.evicted);
            moved
        };
        if evicted.is_some() {
            self.warn();
        }
        if runs {
            return;
        }
        loop {
            let until = self.press();
            tokio::select! {
                biased;
                () = self.signal.turn.notified() => return,
                () = sleep_until(until) => {}
            }
        }
    }

    /// Lets a handshake that takes long go for one that waits. When to try again.
    fn press(&self) -> Instant {
        let (now, mut state) = (Instant::now(), self.all.lock());
        match state.queue.press(now) {
            Press::Swap { evicted, next } => {
                state.evict(Some(evicted));
                state.run(Some(next));
                drop(state);
                self.warn();
                now
            }
            Press::Until(until) => until,
        }
    }

    fn warn(&self) {
        let heaviest = self.all.lock().queue.heaviest();
        if let Some((source, sockets)) = heaviest {
            self.all.warn(source, sockets);
        }
    }

    /// The remote has said who it is. How long the answer takes is not its fault: it is not evicted
    /// meanwhile.
    pub(super) fn authenticates(&self) {
        self.all.lock().queue.authenticate(self.number);
    }

    /// It has waited for our own sake, and is not to go for that.
    pub(super) fn restarts(&self) {
        self.all.lock().queue.restart(self.number, Instant::now());
    }

    /// The remote was refused. It is told so, and may take its time to hear it: only while nobody else
    /// needs the place.
    pub(super) fn refused(&self) {
        self.all.lock().queue.refuse(self.number, Instant::now());
    }

    /// Waits until the socket has to go for another one. Cancel safe.
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
