//! The recorder of a run: its time, its trace, the situations that it reached, and what is wrong with it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::observed::HostLedger;
use crate::schedule::Host;
use crate::situation::{Situation, Situations};
use crate::trace::Trace;

/// The record of a run. All of it runs on one thread.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) trace: Trace,
    is_trace_stopped: AtomicBool,
    now: Mutex<Duration>,
    steps: AtomicUsize,
    seen: Mutex<Situations>,
    contradictions: Mutex<Vec<String>>,
    errors: Mutex<Vec<String>>,
    /// The ledgers of software that has shut down, each of which is checked once.
    closed: Mutex<Vec<HostLedger>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    pub(super) fn new(trace: &Trace) -> Self {
        Self {
            trace: trace.clone(),
            is_trace_stopped: AtomicBool::default(),
            now: Mutex::default(),
            steps: AtomicUsize::default(),
            seen: Mutex::default(),
            contradictions: Mutex::default(),
            errors: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    /// Virtual time: exact inside of a host, the last tick outside.
    pub(super) fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_else(|| *lock(&self.now))
    }

    pub(super) fn set_now(&self, now: Duration) {
        *lock(&self.now) = now;
    }

    /// Steps that were performed.
    pub(super) fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }

    pub(super) fn set_steps(&self, steps: usize) {
        self.steps.store(steps, Ordering::Relaxed);
    }

    /// Adds to the trace of a host.
    pub(super) fn trace_host<T: ToString>(&self, host: Host, what: impl FnOnce() -> T) {
        if self.trace.is_on() && !self.is_trace_stopped() {
            self.trace.note(self.now(), host, what);
        }
    }

    /// Hosts add nothing to the trace any more.
    pub(super) fn stop_trace(&self) {
        self.is_trace_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_trace_stopped(&self) -> bool {
        self.is_trace_stopped.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, situation: Situation) {
        lock(&self.seen).note(situation);
    }

    pub(super) fn note_if(&self, is_so: bool, situation: Situation) {
        if is_so {
            self.note(situation);
        }
    }

    pub(super) fn situations(&self) -> MutexGuard<'_, Situations> {
        lock(&self.seen)
    }

    pub(super) fn contradict(&self, what: String) {
        lock(&self.contradictions).push(what);
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        lock(&self.contradictions).clone()
    }

    pub(super) fn log_error(&self, line: String) {
        lock(&self.errors).push(line);
    }

    pub(super) fn errors(&self) -> Vec<String> {
        lock(&self.errors).clone()
    }

    /// Keeps the ledger of software that has shut down.
    pub(super) fn close(&self, ledger: HostLedger) {
        lock(&self.closed).push(ledger);
    }

    pub(super) fn take_closed(&self) -> Vec<HostLedger> {
        std::mem::take(&mut *lock(&self.closed))
    }
}
