//! Credit: how many bytes each end may send.

use super::window::{Bounds, Window};
use super::{Excess, Pressure};
use crate::Instant;
use crate::connection::RecvBuffer;
use crate::wire::Body;

/// The credit of a connection, in both directions.
///
/// Totals are absolute and only grow, so that a duplicate does no harm and conservation can be
/// checked: `sent ≤ limit`, and `consumed ≤ received ≤ granted`.
#[derive(Debug)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Credit {
    /// Bytes that the remote lets this end send since the beginning.
    limit: u64,
    /// Bytes that this end lets the remote send since the beginning.
    granted: u64,
    /// How far `granted` runs ahead of what was consumed when a grant is made.
    window: Window,
    last_grant: Option<Instant>,
}

impl Credit {
    pub(crate) const fn new(limit: u64, window: u64) -> Self {
        Self { limit, granted: window, window: Window::new(window), last_grant: None }
    }

    /// The remote lets this end send `bytes` more; `None` if the total overflows.
    pub(crate) fn add(&mut self, bytes: u64) -> Option<()> {
        self.limit = self.limit.checked_add(bytes)?;
        Some(())
    }

    pub(super) fn writable(&self, written: u64) -> usize {
        debug_assert!(written <= self.limit, "{written} bytes written, {} allowed", self.limit);
        usize::try_from(self.limit.saturating_sub(written)).unwrap_or(usize::MAX)
    }

    pub(super) fn on_received(&self, recv: &RecvBuffer, bytes: usize) -> Result<(), Excess> {
        match recv.received().checked_add(bytes as u64) {
            Some(received) if received <= self.granted => Ok(()),
            _ => Err(Excess::Credit),
        }
    }

    /// Whether half of the window is used up.
    pub(super) fn grant_is_due(&self, recv: &RecvBuffer) -> bool {
        debug_assert!(recv.received() <= self.granted, "more was received than granted");
        self.granted.saturating_sub(recv.consumed()) <= self.window.size() / 2
    }

    /// The credit to give now, if the application has read enough to make a message worth it.
    pub(super) fn grant(
        &mut self,
        now: Instant,
        recv: &RecvBuffer,
        pressure: &Pressure<'_>,
    ) -> Option<Body> {
        let first = pressure.limits.initial_window;
        if pressure.short_of_memory {
            self.window.shrink(first);
        }
        if !self.grant_is_due(recv) {
            return None;
        }
        let rtt = pressure.rtt;
        let hurried = self.last_grant.is_none_or(|last| now - last < rtt.saturating_mul(2));
        self.window.adapt(now, hurried, recv.consumed(), bounds(pressure));
        self.last_grant = Some(now);
        let bytes = recv.consumed().saturating_add(self.window.size()).saturating_sub(self.granted);
        self.granted += bytes;
        (bytes > 0).then_some(Body::Credit { bytes })
    }

    pub(super) const fn window(&self) -> u64 {
        self.window.size()
    }

    /// Bytes that this end may send since the beginning.
    #[cfg(feature = "testkit")]
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that the remote may send since the beginning.
    #[cfg(feature = "testkit")]
    pub(crate) const fn granted(&self) -> u64 {
        self.granted
    }
}

/// How far the window may grow: the windows of a session share one budget.
fn bounds(pressure: &Pressure<'_>) -> Bounds {
    let limits = pressure.limits;
    let initial = limits.initial_window.saturating_mul(pressure.connections as u64);
    let grown = pressure.windows.saturating_sub(initial);
    let left = limits.window_budget.saturating_sub(grown);
    Bounds {
        free: limits.free_window,
        max: limits.max_window,
        left: if pressure.short_of_memory { 0 } else { left },
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::session::Limits;

    struct Reader {
        credit: Credit,
        recv: RecvBuffer,
        limits: Limits,
    }

    impl Reader {
        fn new(window: u64) -> Self {
            let (free_window, max_window) = (u64::MAX, u64::MAX);
            let initial_window = window;
            let limits = Limits { initial_window, free_window, max_window, ..Limits::default() };
            Self { credit: Credit::new(0, window), recv: RecvBuffer::default(), limits }
        }

        fn receive(&mut self, bytes: usize) -> Result<(), Excess> {
            self.credit.on_received(&self.recv, bytes)?;
            self.recv.push(Bytes::from(std::vec![0; bytes]), false);
            Ok(())
        }

        /// The credit given at `millis` with so much left for all windows, round trips taking 10 ms.
        fn grant(&mut self, millis: u64, left: u64) -> u64 {
            let now = Instant::from_epoch(Duration::from_millis(millis));
            let windows = self.credit.window();
            self.limits.window_budget = left + windows - self.limits.initial_window;
            let pressure = Pressure {
                limits: &self.limits,
                rtt: Duration::from_millis(10),
                connections: 1,
                unread: 0,
                windows,
                short_of_memory: false,
            };
            match self.credit.grant(now, &self.recv, &pressure) {
                Some(Body::Credit { bytes }) => bytes,
                _ => 0,
            }
        }
    }

    #[test]
    fn more_than_was_granted_is_refused() {
        let mut reader = Reader::new(8);
        assert_eq!(reader.receive(8), Ok(()));
        assert_eq!(reader.receive(1), Err(Excess::Credit));
    }

    #[test]
    fn grants_when_half_is_used_and_grows_when_hurried() {
        let mut reader = Reader::new(100);
        reader.receive(50).unwrap();
        assert_eq!(reader.grant(0, 1000), 0, "nothing was read");
        reader.recv.read(49);
        assert_eq!(reader.grant(0, 1000), 0);
        reader.recv.read(1);
        assert_eq!(reader.grant(0, 199), 50);
        reader.receive(100).unwrap();
        reader.recv.read(100);
        assert_eq!(reader.grant(19, 200), 200, "doubled");
        reader.receive(200).unwrap();
        reader.recv.read(200);
        assert_eq!(reader.grant(100, 1000), 200, "leisurely: no growth");
    }

    #[test]
    fn what_the_remote_allows_adds_up_without_overflow() {
        let mut credit = Credit::new(10, 1024);
        assert_eq!((credit.writable(0), credit.writable(10)), (10, 0));
        credit.add(2).unwrap();
        assert_eq!((credit.writable(10), credit.limit()), (2, 12));
        assert_eq!((credit.add(u64::MAX), credit.limit()), (None, 12));
    }
}
