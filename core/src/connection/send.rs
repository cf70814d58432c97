//! Bytes on their way out, and how many more the other end allows.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Writes shorter than this are gathered into one chunk: a message for each would cost more in
/// headers and wake-ups than the copy does.
const GATHER_BELOW: usize = 2048;

/// The outgoing half of a connection.
///
/// What was accepted is always sendable: bytes are taken from the application only within the
/// other end's credit, so a stopped reader leaves nothing behind here. Totals are absolute and
/// only grow: `sent() ≤ written ≤ limit`.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct SendBuffer {
    chunks: VecDeque<Bytes>,
    /// The newest bytes, still open for gathering; they follow `chunks`.
    gathering: BytesMut,
    queued: usize,
    written: u64,
    limit: u64,
    /// The application met a closed door and waits to be told.
    pub(crate) wants_room: bool,
}

impl SendBuffer {
    /// A buffer that may send up to `limit` bytes before the other end grants more.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            gathering: BytesMut::new(),
            queued: 0,
            written: 0,
            limit,
            wants_room: false,
        }
    }

    /// Takes from the front of `data` at most `room`, which must come from [`room`](Self::room).
    pub(crate) fn push(&mut self, data: &mut Bytes, room: usize, max_chunk: usize) -> usize {
        let taken = room.min(data.len());
        if taken == 0 {
            return 0;
        }
        let chunk = data.split_to(taken);
        if taken < GATHER_BELOW {
            self.gathering.extend_from_slice(&chunk);
            if self.gathering.len() >= max_chunk {
                self.seal();
            }
        } else {
            self.seal();
            self.chunks.push_back(chunk);
        }
        self.queued += taken;
        self.written += taken as u64;
        taken
    }

    /// How many bytes [`push`](Self::push) may take now, for at most `capacity` to be queued.
    pub(crate) fn room(&self, capacity: usize) -> usize {
        let credit = usize::try_from(self.limit - self.written).unwrap_or(usize::MAX);
        capacity.saturating_sub(self.queued).min(credit)
    }

    /// The next bytes to send, at most `max` of them; empty when nothing is queued.
    pub(crate) fn take(&mut self, max: usize) -> Bytes {
        if self.chunks.is_empty() {
            self.seal();
        }
        let Some(front) = self.chunks.front_mut() else { return Bytes::new() };
        let taken = if front.len() > max {
            front.split_to(max)
        } else {
            self.chunks.pop_front().unwrap_or_default()
        };
        self.queued -= taken.len();
        if self.queued == 0 {
            // An idle connection keeps no capacity of a burst.
            self.chunks = VecDeque::new();
        }
        taken
    }

    /// Throws away what is queued, because nothing more travels.
    pub(crate) fn discard(&mut self) {
        self.chunks = VecDeque::new();
        self.gathering = BytesMut::new();
        self.written -= self.queued as u64;
        self.queued = 0;
    }

    fn seal(&mut self) {
        if !self.gathering.is_empty() {
            self.chunks.push_back(core::mem::take(&mut self.gathering).freeze());
        }
    }

    /// The other end allows `bytes` more; `None` if the total overflows.
    pub(crate) fn add_credit(&mut self, bytes: u64) -> Option<()> {
        self.limit = self.limit.checked_add(bytes)?;
        Some(())
    }

    /// Bytes accepted from the application and not sent yet.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes that the other end was sent since the beginning.
    pub(crate) fn sent(&self) -> u64 {
        self.written - self.queued as u64
    }

    /// Bytes that the other end has allowed since the beginning.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 16 * 1024;

    #[test]
    fn takes_no_more_than_credit_and_capacity_allow() {
        let mut send = SendBuffer::new(10);
        let mut data = Bytes::from_static(b"0123456789abcdef");
        let push = |send: &mut SendBuffer, data: &mut Bytes, capacity| {
            let room = send.room(capacity);
            send.push(data, room, CHUNK)
        };
        assert_eq!(push(&mut send, &mut data, 4), 4);
        assert_eq!(push(&mut send, &mut data, 100), 6, "credit ends at 10");
        assert_eq!(push(&mut send, &mut data, 100), 0);
        assert_eq!(&data[..], b"abcdef");
        assert_eq!(&send.take(CHUNK)[..], b"0123456789", "small writes are gathered");
        assert_eq!((send.queued(), send.sent(), send.limit()), (0, 10, 10));
        send.add_credit(2).unwrap();
        assert_eq!(push(&mut send, &mut data, 100), 2);
        assert_eq!(send.add_credit(u64::MAX), None);
    }

    #[test]
    fn keeps_order_across_gathered_and_whole_chunks() {
        let mut send = SendBuffer::new(u64::MAX);
        let mut sent = std::vec::Vec::new();
        for (mark, size) in (1..).zip([1, 5000, 3, 4, 2048, 2047]) {
            let mut data = Bytes::from(std::vec![mark; size]);
            send.push(&mut data, usize::MAX, CHUNK);
        }
        while send.queued() > 0 {
            sent.extend_from_slice(&send.take(1000));
        }
        let runs: std::vec::Vec<_> = sent.chunk_by(|a, b| a == b).map(<[u8]>::len).collect();
        assert_eq!(runs, [1, 5000, 3, 4, 2048, 2047]);
        assert_eq!(send.chunks.capacity() + send.gathering.capacity(), 0);
    }

    #[test]
    fn a_chunk_that_fits_just_so_is_taken_whole() {
        let mut send = SendBuffer::new(u64::MAX);
        for _ in 0..3 {
            send.push(&mut Bytes::from(std::vec![1; 5000]), usize::MAX, CHUNK);
        }
        let taken = [(); 3].map(|()| send.take(5000).len());
        assert_eq!((taken, send.queued()), ([5000; 3], 0));
    }
}
