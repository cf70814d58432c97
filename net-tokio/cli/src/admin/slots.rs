//! The limit of connections. A connection that waits for a request is evicted for a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Guarded};

/// Connections at once. More wait in the kernel's queue while all of these have a request.
const CONNECTIONS: usize = 1024;

/// The slots, which all listeners share.
#[derive(Debug, Default)]
pub(super) struct Slots {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    last: u64,
    /// Connections that wait for a request, the longest wait first.
    idle: BTreeMap<u64, CancellationToken>,
}

/// The slot of a connection, which its drop frees.
#[derive(Debug)]
pub(super) struct Slot {
    all: Arc<Slots>,
    evicted: CancellationToken,
    /// Its number among idle connections.
    idle: Mutex<Option<u64>>,
}

impl Slots {
    /// Waits for a slot; without a free one, evicts the connection that has waited longest for a request.
    /// Cancel safe.
    pub(super) async fn take(self: &Arc<Self>) -> Slot {
        loop {
            let freed = self.freed.notified();
            if let Some(slot) = self.try_take() {
                return slot;
            }
            freed.await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let mut state = lock(&self.state);
        if state.open >= CONNECTIONS {
            if let Some((_, oldest)) = state.idle.pop_first() {
                oldest.cancel();
            }
            return None;
        }
        state.open += 1;
        let evicted = CancellationToken::new();
        let idle = Mutex::new(Some(state.wait(&evicted)));
        Some(Slot { all: Arc::clone(self), evicted, idle })
    }
}

impl State {
    fn wait(&mut self, evicted: &CancellationToken) -> u64 {
        self.last += 1;
        self.idle.insert(self.last, evicted.clone());
        self.last
    }
}

impl Slot {
    /// Marks the connection as busy: a request has arrived, or the connection ends or is upgraded.
    pub(super) fn serves(&self) {
        if let Some(number) = lock(&self.idle).take() {
            lock(&self.all.state).idle.remove(&number);
        }
    }

    /// Marks the connection as idle: the library has the answer, and the next request may arrive.
    fn waits(&self) {
        let number = lock(&self.all.state).wait(&self.evicted);
        *lock(&self.idle) = Some(number);
    }

    /// Waits until the connection has to go for another one. Cancel safe.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.serves();
        lock(&self.all.state).open -= 1;
        self.all.freed.notify_one();
    }
}

/// An answer whose connection serves until it has been handed to the library; an upgraded one has no
/// further requests.
pub(super) fn served(answer: Answer, slot: Arc<Slot>) -> Answer {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return answer;
    }
    answer.map(|body| Guarded::new(body, Serving(slot)).boxed_unsync())
}

/// Lets the connection wait for its next request when the body of the answer is dropped.
struct Serving(Arc<Slot>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.waits();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn is_evicted(slot: &Slot) -> bool {
        timeout(Duration::ZERO, slot.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_has_waited_longest_makes_room() {
        let slots = Arc::<Slots>::default();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(slots.take().await);
        }
        held[0].serves();
        held[1].serves();
        held[1].waits();
        assert!(timeout(Duration::from_secs(1), slots.take()).await.is_err());
        assert!(!is_evicted(&held[0]).await && !is_evicted(&held[1]).await);
        assert!(is_evicted(&held[2]).await && !is_evicted(&held[3]).await);
        drop(held.remove(2));
        let late = slots.take().await;
        drop((held, late));
        let state = lock(&slots.state);
        assert!(state.open == 0 && state.idle.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_serve_keep_their_places() {
        let slots = Arc::<Slots>::default();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let slot = slots.take().await;
            slot.serves();
            held.push(slot);
        }
        assert!(timeout(Duration::from_secs(3600), slots.take()).await.is_err());
        let (taken, _) = tokio::join!(slots.take(), async { drop(held.pop()) });
        drop((taken, held));
    }
}
