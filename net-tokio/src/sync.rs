//! Locks, atomics and sleeps of a session, which the interleaving tests replace.
//!
//! With `--cfg shuttle` each lock, atomic and wake-up is a point at which another thread may run,
//! and time passes only when a test advances it. The tests are in `session/interleavings.rs`.

#[cfg(not(shuttle))]
pub(crate) use real::*;
#[cfg(shuttle)]
pub(crate) use simulated::*;

use std::time::Duration;

use tokio::time::Instant;

/// Translates between tokio's clock and the core's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: now() }
    }

    pub(crate) fn now(&self) -> watertight_core::Instant {
        watertight_core::Instant::from_epoch(now() - self.epoch)
    }

    pub(crate) fn to_tokio(self, at: watertight_core::Instant) -> Instant {
        // The core saturates at the end of its time, which tokio's cannot express.
        self.epoch
            .checked_add(at.since_epoch())
            .unwrap_or_else(|| self.epoch + Duration::from_secs(60 * 60 * 24 * 365))
    }
}

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

    pub(crate) use tokio::time::{Sleep, sleep_until};

    /// Runs a task on the runtime.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }

    /// The time now.
    pub(crate) fn now() -> tokio::time::Instant {
        tokio::time::Instant::now()
    }
}

#[cfg(shuttle)]
mod simulated {
    use std::cell::RefCell;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    pub(crate) use shuttle::sync::atomic::{AtomicU64, AtomicUsize};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::{PoisonError, TryLockError};

    use tokio::time::Instant;

    std::thread_local! {
        // All threads of an execution are coroutines of one thread of the system.
        static TIME: RefCell<Time> = RefCell::new(Time::new());
    }

    struct Time {
        now: Instant,
        sleeps: Vec<(Instant, Waker)>,
    }

    impl Time {
        fn new() -> Self {
            Self { now: Instant::now(), sleeps: Vec::new() }
        }
    }

    /// Runs a task as a thread of its own.
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(task));
    }

    /// The time now.
    pub(crate) fn now() -> Instant {
        TIME.with_borrow(|time| time.now)
    }

    /// Advances the time, and wakes the sleeps that end.
    #[cfg(test)]
    pub(crate) fn advance(by: Duration) {
        let due: Vec<_> = TIME.with_borrow_mut(|time| {
            time.now += by;
            let now = time.now;
            time.sleeps.extract_if(.., |(at, _)| *at <= now).collect()
        });
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Clears the sleeps of an ended execution.
    #[cfg(test)]
    pub(crate) fn reset_time() {
        TIME.with_borrow_mut(|time| time.sleeps.clear());
    }

    /// A sleep in the time of the test.
    #[derive(Debug)]
    pub(crate) struct Sleep(Instant);

    pub(crate) fn sleep_until(at: Instant) -> Sleep {
        Sleep(at)
    }

    impl Sleep {
        pub(crate) fn deadline(&self) -> Instant {
            self.0
        }

        pub(crate) fn reset(mut self: Pin<&mut Self>, at: Instant) {
            self.0 = at;
        }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            TIME.with_borrow_mut(|time| {
                if self.0 <= time.now {
                    return Poll::Ready(());
                }
                time.sleeps.push((self.0, cx.waker().clone()));
                Poll::Pending
            })
        }
    }
}
