//! A timeout that starts again with each movement.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::LAST_BYTES;

/// Bytes that count as a movement of the last bytes. A remotedialer end that reads nothing still
/// accepts single bytes, the window probes.
const SOME: u64 = 64;

pub(super) struct Limit {
    timeout: Duration,
    since: Instant,
    /// Bytes that had been passed on at the last movement.
    passed: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Limit {
    pub(super) fn start(timeout: Duration, passed: u64) -> Self {
        let sleep = Box::pin(tokio::time::sleep(timeout));
        Self { timeout, since: Instant::now(), passed, sleep }
    }

    pub(super) fn is_of(&self, timeout: Duration) -> bool {
        self.timeout == timeout
    }

    /// Updates the number of bytes that have been passed on.
    pub(super) fn notice(&mut self, passed: u64) {
        debug_assert!(passed >= self.passed, "bytes that were passed on only increase");
        let least = if self.timeout == LAST_BYTES { SOME } else { 1 };
        if passed >= self.passed + least {
            self.passed = passed;
            self.moved();
        }
    }

    pub(super) fn moved(&mut self) {
        self.since = Instant::now();
    }

    /// A movement does not reset the timer: the timer checks for the last one when it fires.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let until = self.since + self.timeout;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(until);
        }
    }
}
