//! Wakers that are valid for one poll, so that a library that keeps an old one loses a wake-up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// The waker of one direction of a stream. A new one is given with every poll, and the one before then
/// wakes nobody any more, as when a stream is handed from task to task: a library that keeps an old one,
/// or one for both directions, loses a wake-up.
#[derive(Debug, Default)]
pub(super) struct Ticket(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    task: Mutex<Option<Waker>>,
    was_woken: AtomicBool,
}

impl Ticket {
    /// Whether it was woken since it was last asked.
    pub(super) fn was_woken(&self) -> bool {
        self.0.was_woken.swap(false, Ordering::Relaxed)
    }

    /// A new waker, for the task of `cx`.
    pub(super) fn renew(&mut self, cx: &Context<'_>) -> Waker {
        self.0.set(None);
        self.0 = Arc::default();
        self.0.set(Some(cx.waker().clone()));
        Waker::from(Arc::clone(&self.0))
    }
}

impl Slot {
    fn set(&self, task: Option<Waker>) {
        let before = {
            let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, task)
        };
        drop(before);
    }
}

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        self.was_woken.store(true, Ordering::Relaxed);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
