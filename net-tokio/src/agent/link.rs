//! The agent's sessions: the current one, those that drain, and what is left of the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use watertight_core::{Instant, Ledger, Session};

use crate::session::Shared;

#[derive(Debug, Default)]
pub(super) struct Links {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Shared>>,
    /// Every session that is up, the current one included.
    running: Vec<Arc<Shared>>,
    /// Sessions that ended while the application still holds some of their connections.
    held: Vec<Arc<Shared>>,
    /// The books of those of which nothing is left.
    past: Ledger,
    closed: bool,
}

impl Links {
    /// Takes in a session whose task is still to be spawned, so that it cannot end before;
    /// `false` if there are to be no more.
    pub(super) fn add(&self, link: &Arc<Shared>) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        state.running.push(Arc::clone(link));
        state.current = Some(Arc::clone(link));
        true
    }

    /// No new dials on this session.
    pub(super) fn retire(&self, link: &Arc<Shared>) {
        self.lock().current.take_if(|current| Arc::ptr_eq(current, link));
    }

    /// The session's driver has ended.
    pub(super) fn remove(&self, link: &Arc<Shared>) {
        self.retire(link);
        let mut state = self.lock();
        let before = state.running.len();
        state.running.retain(|running| !Arc::ptr_eq(running, link));
        if state.running.len() < before {
            state.held.push(Arc::clone(link));
        }
        state.settle();
        drop(state);
        self.ended.notify_waiters();
    }

    pub(super) fn current(&self) -> Option<Arc<Shared>> {
        self.lock().current.clone()
    }

    /// Takes no more sessions in, and does this to each there is.
    pub(super) fn close(&self, act: impl Fn(&mut Session, Instant)) {
        let mut state = self.lock();
        state.closed = true;
        for link in &state.running {
            link.command(&act);
        }
    }

    /// Waits until no session is up. Cancel safe.
    pub(super) async fn gone(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().running.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Lets go of what ended sessions still hold for the application.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        for link in &state.held {
            link.command(|core, now| core.abandon(now));
        }
        state.settle();
    }

    pub(super) fn ledger(&self) -> Ledger {
        let mut state = self.lock();
        state.settle();
        let mut ledger = state.past;
        for link in state.running.iter().chain(&state.held) {
            ledger.absorb(&link.ledger());
        }
        ledger
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the books of what nobody holds any more into the past.
    fn settle(&mut self) {
        let past = &mut self.past;
        self.held.retain(|link| {
            let ledger = link.ledger();
            if ledger.is_even() {
                past.absorb(&ledger);
            }
            !ledger.is_even()
        });
    }
}
