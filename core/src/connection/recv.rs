//! Bytes that arrived and wait for the application, and how many more may come.

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::window::{Bounds, Window};
use crate::Instant;

/// Payloads shorter than this are copied: as slices they would keep a read buffer many times
/// their size alive.
const COPY_BELOW: usize = 4096;

/// Copied bytes are kept in pieces of about this size, so that reading gives memory back.
const PIECE: usize = 64 * 1024;

/// The incoming half of a connection.
///
/// Totals are absolute and only grow: `consumed ≤ received ≤ granted`.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct RecvBuffer {
    chunks: VecDeque<Bytes>,
    /// Copied payloads, the newest bytes; they follow `chunks`.
    gathering: BytesMut,
    unread: usize,
    received: u64,
    granted: u64,
    /// How far `granted` runs ahead of what was consumed when a grant is made.
    window: Window,
    last_grant: Option<Instant>,
    /// The application found nothing to read and waits to be told.
    pub(crate) wants_data: bool,
}

impl RecvBuffer {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            gathering: BytesMut::new(),
            unread: 0,
            received: 0,
            granted: window,
            window: Window::new(window),
            last_grant: None,
            wants_data: false,
        }
    }

    /// A buffer toward an end that is not given credit: its bounds are the session's.
    pub(crate) fn ungranted() -> Self {
        Self { granted: u64::MAX, ..Self::new(0) }
    }

    /// Takes a payload in, as a copy or as a slice of the read buffer that it arrived in, if it
    /// is worth that; `None` if it passes what was granted.
    pub(crate) fn receive(&mut self, payload: Bytes, copy: bool) -> Option<()> {
        let received = self.received.checked_add(payload.len() as u64)?;
        if received > self.granted {
            return None;
        }
        self.received = received;
        self.unread += payload.len();
        if copy || payload.len() < COPY_BELOW {
            self.gather(&payload);
        } else {
            self.seal();
            self.chunks.push_back(payload);
        }
        Some(())
    }

    fn gather(&mut self, payload: &[u8]) {
        self.gathering.extend_from_slice(payload);
        if self.gathering.len() >= PIECE {
            self.seal();
        }
    }

    /// The next bytes, at most `max` of them; empty when there are none.
    pub(crate) fn read(&mut self, max: usize) -> Bytes {
        if self.chunks.is_empty() {
            self.seal();
        }
        let Some(front) = self.chunks.front_mut() else { return Bytes::new() };
        let taken = if front.len() > max {
            front.split_to(max)
        } else {
            self.chunks.pop_front().unwrap_or_default()
        };
        self.unread -= taken.len();
        if self.unread == 0 {
            // An idle connection keeps no capacity of a burst.
            self.chunks = VecDeque::new();
        }
        taken
    }

    fn seal(&mut self) {
        if !self.gathering.is_empty() {
            self.chunks.push_back(core::mem::take(&mut self.gathering).freeze());
        }
    }

    /// Throws away what is unread, because nobody will read it.
    pub(crate) fn discard(&mut self) {
        self.chunks = VecDeque::new();
        self.gathering = BytesMut::new();
        self.unread = 0;
    }

    /// The credit to give now, if the application has read enough to make a message worth it.
    pub(crate) fn grant(&mut self, now: Instant, rtt: Duration, bounds: Bounds) -> u64 {
        if !self.grant_is_due() {
            return 0;
        }
        let hurried = self.last_grant.is_none_or(|last| now - last < rtt.saturating_mul(2));
        let consumed = self.consumed();
        self.window.adapt(now, hurried, consumed, bounds);
        self.last_grant = Some(now);
        let target = consumed.saturating_add(self.window.size());
        let credit = target.saturating_sub(self.granted);
        self.granted += credit;
        credit
    }

    /// Takes back by how much the window has grown beyond `size`: no credit is given before as much was
    /// read.
    pub(crate) fn shrink(&mut self, size: u64) {
        self.window.shrink(size);
    }

    /// Whether half of the window is used up.
    pub(crate) fn grant_is_due(&self) -> bool {
        self.granted - self.consumed() <= self.window.size() / 2
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    pub(crate) fn window(&self) -> u64 {
        self.window.size()
    }

    /// Bytes that the other end may have sent since the beginning.
    pub(crate) fn granted(&self) -> u64 {
        self.granted
    }

    /// Bytes that the application has taken since the beginning.
    fn consumed(&self) -> u64 {
        self.received - self.unread as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    #[test]
    fn refuses_what_was_not_granted() {
        let mut recv = RecvBuffer::new(8);
        assert!(recv.receive(Bytes::from_static(b"12345678"), false).is_some());
        assert!(recv.receive(Bytes::from_static(b"9"), false).is_none());
        assert_eq!(recv.unread(), 8);
    }

    #[test]
    fn grants_when_half_is_used_and_grows_when_hurried() {
        let rtt = Duration::from_millis(10);
        let bounds = |left| Bounds { free: u64::MAX, max: u64::MAX, left };
        let mut recv = RecvBuffer::new(100);
        recv.receive(Bytes::from(std::vec![0; 50]), false).unwrap();
        assert_eq!(recv.grant(at(0), rtt, bounds(1000)), 0, "nothing was read");
        recv.read(49);
        assert_eq!(recv.grant(at(0), rtt, bounds(1000)), 0);
        recv.read(1);
        assert_eq!(recv.grant(at(0), rtt, bounds(199)), 50);
        recv.receive(Bytes::from(std::vec![0; 100]), false).unwrap();
        recv.read(100);
        assert_eq!(recv.grant(at(19), rtt, bounds(200)), 200, "doubled");
        recv.receive(Bytes::from(std::vec![0; 200]), false).unwrap();
        recv.read(200);
        assert_eq!(recv.grant(at(100), rtt, bounds(1000)), 200, "leisurely: no growth");
    }

    #[test]
    fn copies_do_not_pin_shared_buffers_and_are_given_back_as_they_are_read() {
        let shared = Bytes::from(std::vec![7; 1024 * 1024]);
        let mut recv = RecvBuffer::new(1 << 30);
        for _ in 0..40 {
            recv.receive(shared.slice(0..4096), true).unwrap();
        }
        assert!(shared.is_unique(), "no slice of the read buffer is left");
        let largest = recv.chunks.iter().map(Bytes::len).max().unwrap();
        assert!(largest <= PIECE, "reading gives memory back: {largest}");
        let mut read = 0;
        while recv.unread() > 0 {
            read += recv.read(usize::MAX).len();
        }
        assert_eq!(read, 40 * 4096);
        assert_eq!(recv.chunks.capacity() + recv.gathering.capacity(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn chunks_of_every_kind_keep_their_order() {
        let mut recv = RecvBuffer::new(1 << 30);
        let (mut sent, mut read) = (std::vec::Vec::new(), std::vec::Vec::new());
        let marks = (0..=u8::MAX).cycle();
        for (round, mark) in (0..3000).zip(marks) {
            let size = [1, 5000, 100, 4096, 20_000, 4095, 70_000][round % 7];
            let payload = std::vec![mark; size];
            sent.extend_from_slice(&payload);
            recv.receive(payload.into(), round / 250 % 2 == 0).unwrap();
            // In waves, so that the reader lags and catches up, out of step with the copying.
            let size = if round / 500 % 2 == 0 { 7000 } else { 40_000 };
            read.extend_from_slice(&recv.read(size));
        }
        while recv.unread() > 0 {
            read.extend_from_slice(&recv.read(usize::MAX));
        }
        assert!(sent == read);
        assert_eq!(recv.chunks.capacity() + recv.gathering.capacity(), 0);
    }

    #[test]
    fn small_payloads_are_copied() {
        let shared = Bytes::from(std::vec![7; 1024 * 1024]);
        let mut recv = RecvBuffer::new(100);
        recv.receive(shared.slice(0..10), false).unwrap();
        assert!(shared.is_unique());
        assert_eq!(recv.read(4).len(), 4);
        assert_eq!(recv.read(100).len(), 6);
    }
}
