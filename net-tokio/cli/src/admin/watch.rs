//! Checks an end of a connection from time to time, where no read would report its failure.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(3);

/// How long the bytes ahead of a failure wait for a reader to take some of them: on a direct
/// connection, an end that reads nothing gets a reset at once.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// Bytes that count as taken: a byte now and then would hold the connection for days.
const SOME: u64 = 64;

/// Whether an end is still there. Without a read the kernel does not report a reset, and a machine that
/// has vanished sends nothing while bytes are in flight to it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    next: Option<Pin<Box<Sleep>>>,
    /// Why the end is of no use any more, and how much of what it had sent was passed on by then.
    broken: Option<(io::Error, u64)>,
}

impl Watch {
    /// Looks by `failure`, for as long as that is `needed`. Ready once when the end is found broken:
    /// its earlier bytes are still to be passed on, by which `passed` grows.
    ///
    /// # Errors
    /// The end is broken, and no reader takes its earlier bytes.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        needed: bool,
        failure: impl Fn() -> Option<io::Error>,
        passed: impl Fn() -> u64,
    ) -> Poll<io::Result<()>> {
        loop {
            if !needed && self.broken.is_none() {
                self.next = None;
                return Poll::Pending;
            }
            let pause = if self.broken.is_some() { LAST_BYTES } else { LOOK };
            let next = self.next.get_or_insert_with(|| Box::pin(sleep(pause)));
            ready!(next.as_mut().poll(cx));
            self.next = None;
            match self.broken.take() {
                Some((error, before)) if passed() < before + SOME => {
                    return Poll::Ready(Err(error));
                }
                Some((error, _)) => self.broken = Some((error, passed())),
                None => {
                    self.broken = failure().map(|error| (error, passed()));
                    if self.broken.is_some() {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Instant, timeout};

    use super::*;

    fn reset() -> Option<io::Error> {
        Some(io::ErrorKind::ConnectionReset.into())
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_read_or_whole_is_left_alone() {
        let mut watch = Watch::default();
        for (needed, failure) in [(false, true), (true, false)] {
            let found =
                poll_fn(|cx| watch.poll(cx, needed, || failure.then(reset).flatten(), || 0));
            timeout(LOOK * 10, found).await.unwrap_err();
        }
    }

    /// How long an end that is broken at once is kept while `a_second` of its bytes are taken, for a while.
    async fn kept(a_second: u64, time: Duration) -> Duration {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let passed = || a_second * start.elapsed().min(LOOK + time).as_secs();
        poll_fn(|cx| watch.poll(cx, true, reset, passed)).await.unwrap();
        assert_eq!(start.elapsed(), LOOK);
        let given_up = poll_fn(|cx| watch.poll(cx, false, reset, passed)).await;
        assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        start.elapsed() - LOOK
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_end_is_given_up_once_nobody_takes_what_had_come_from_it() {
        let time = LAST_BYTES * 5;
        assert_eq!(kept(SOME, time).await, time + LAST_BYTES);
        for few in [0, SOME / 3] {
            assert_eq!(kept(few, time).await, LAST_BYTES, "{few}");
        }
    }
}
