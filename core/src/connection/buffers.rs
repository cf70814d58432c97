//! The bytes that a connection holds, in each direction.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Writes shorter than this are coalesced into one chunk: a message for each would cost more in
/// headers and wake-ups than the copy does.
const COALESCE_BELOW: usize = 2048;

/// Payloads shorter than this are copied: as slices they would keep a read buffer many times
/// their size alive.
const COPY_BELOW: usize = 4096;

/// Copied payloads are kept in pieces of about this size, so that reading gives memory back.
const PIECE: usize = 64 * 1024;

/// A queue of bytes, in chunks that are shared and chunks that are copied together.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
struct Chunks {
    sealed: VecDeque<Bytes>,
    /// The newest bytes, to which more can be copied; they follow `sealed`.
    open: BytesMut,
    len: usize,
}

impl Chunks {
    /// Appends a chunk without copying it.
    fn share(&mut self, chunk: Bytes) {
        debug_assert!(!chunk.is_empty(), "an empty chunk would look like the end of the queue");
        self.seal();
        self.len += chunk.len();
        self.sealed.push_back(chunk);
    }

    /// Appends a copy of `bytes` to the open chunk, which is sealed at `full` bytes.
    fn copy(&mut self, bytes: &[u8], full: usize) {
        self.len += bytes.len();
        self.open.extend_from_slice(bytes);
        if self.open.len() >= full {
            self.seal();
        }
    }

    /// The next bytes, at most `max` of them; empty when there are none.
    fn take(&mut self, max: usize) -> Bytes {
        if self.sealed.is_empty() {
            self.seal();
        }
        let Some(front) = self.sealed.front_mut() else { return Bytes::new() };
        let taken = if front.len() > max {
            front.split_to(max)
        } else {
            self.sealed.pop_front().unwrap_or_default()
        };
        debug_assert!(taken.len() <= self.len, "the queue holds more bytes than it counts");
        self.len -= taken.len();
        if self.len == 0 {
            debug_assert!(self.sealed.is_empty() && self.open.is_empty(), "bytes are not counted");
            // An idle connection keeps no capacity of a burst.
            self.sealed = VecDeque::new();
        }
        taken
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push_back(core::mem::take(&mut self.open).freeze());
        }
    }
}

/// The bytes of a connection toward the remote.
///
/// Every accepted byte is sendable: bytes are taken from the application only as far as flow
/// control allows, so a stopped reader leaves nothing behind here. Totals are absolute and only
/// grow: `sent() ≤ written()`.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct SendBuffer {
    chunks: Chunks,
    written: u64,
    /// A write returned `Blocked`; `Event::Writable` is owed.
    pub(crate) wants_space: bool,
}

impl SendBuffer {
    /// Takes at most `most` bytes from the front of `data`; how many it took.
    pub(crate) fn push(&mut self, data: &mut Bytes, most: usize, max_chunk: usize) -> usize {
        let taken = most.min(data.len());
        if taken == 0 {
            return 0;
        }
        let chunk = data.split_to(taken);
        if taken < COALESCE_BELOW {
            self.chunks.copy(&chunk, max_chunk);
        } else {
            self.chunks.share(chunk);
        }
        self.written += taken as u64;
        taken
    }

    /// The next bytes to send, at most `max` of them; empty when nothing is queued.
    pub(crate) fn take(&mut self, max: usize) -> Bytes {
        self.chunks.take(max)
    }

    /// Throws away what is queued, because nothing more travels.
    pub(crate) fn discard(&mut self) {
        self.written = self.sent();
        self.chunks = Chunks::default();
    }

    /// Bytes accepted from the application and not sent yet.
    pub(crate) const fn queued(&self) -> usize {
        self.chunks.len
    }

    /// Bytes accepted from the application since the beginning.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes handed to the transport since the beginning.
    pub(crate) const fn sent(&self) -> u64 {
        debug_assert!(self.written >= self.chunks.len as u64, "bytes queued that nobody wrote");
        self.written - self.chunks.len as u64
    }
}

/// The bytes of a connection from the remote.
///
/// Totals are absolute and only grow: `consumed() ≤ received()`.
#[derive(Debug, Default)]
#[cfg_attr(feature = "testkit", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct RecvBuffer {
    chunks: Chunks,
    received: u64,
    /// A read returned `Blocked`; `Event::Readable` is owed.
    pub(crate) wants_data: bool,
}

impl RecvBuffer {
    /// Appends a payload that flow control has allowed, as a copy or, if it is large enough, as a
    /// slice of the read buffer that it arrived in.
    pub(crate) fn push(&mut self, payload: Bytes, copy: bool) {
        self.received += payload.len() as u64;
        if copy || payload.len() < COPY_BELOW {
            self.chunks.copy(&payload, PIECE);
        } else {
            self.chunks.share(payload);
        }
    }

    /// The next bytes, at most `max` of them; empty when there are none.
    pub(crate) fn read(&mut self, max: usize) -> Bytes {
        self.chunks.take(max)
    }

    /// Throws away what is unread, because nobody will read it.
    pub(crate) fn discard(&mut self) {
        self.chunks = Chunks::default();
    }

    /// Bytes that wait for the application.
    pub(crate) const fn unread(&self) -> usize {
        self.chunks.len
    }

    /// Bytes that have arrived since the beginning.
    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that the application has taken since the beginning.
    pub(crate) const fn consumed(&self) -> u64 {
        debug_assert!(self.received >= self.chunks.len as u64, "bytes unread that never arrived");
        self.received - self.chunks.len as u64
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const CHUNK: usize = 16 * 1024;

    impl Chunks {
        fn capacity(&self) -> usize {
            self.sealed.capacity() + self.open.capacity()
        }
    }

    #[test]
    fn writes_take_no_more_than_is_allowed_and_small_ones_are_coalesced() {
        let mut send = SendBuffer::default();
        let mut data = Bytes::from_static(b"0123456789abcdef");
        assert_eq!(send.push(&mut data, 4, CHUNK), 4);
        assert_eq!(send.push(&mut data, 6, CHUNK), 6);
        assert_eq!(send.push(&mut data, 0, CHUNK), 0);
        assert_eq!(&data[..], b"abcdef");
        assert_eq!((send.queued(), send.written(), send.sent()), (10, 10, 0));
        assert_eq!(&send.take(CHUNK)[..], b"0123456789");
        assert_eq!((send.queued(), send.written(), send.sent()), (0, 10, 10));
    }

    #[test]
    fn what_is_discarded_was_not_written() {
        let mut send = SendBuffer::default();
        send.push(&mut Bytes::from_static(b"0123456789"), 10, CHUNK);
        send.take(3);
        send.discard();
        assert_eq!((send.queued(), send.written(), send.sent()), (0, 3, 3));
    }

    #[test]
    fn keeps_order_across_coalesced_and_whole_chunks() {
        let mut send = SendBuffer::default();
        let mut sent = Vec::new();
        for (mark, size) in (1..).zip([1, 5000, 3, 4, 2048, 2047]) {
            let mut data = Bytes::from(std::vec![mark; size]);
            send.push(&mut data, usize::MAX, CHUNK);
        }
        while send.queued() > 0 {
            sent.extend_from_slice(&send.take(1000));
        }
        let runs: Vec<_> = sent.chunk_by(|a, b| a == b).map(<[u8]>::len).collect();
        assert_eq!(runs, [1, 5000, 3, 4, 2048, 2047]);
        assert_eq!(send.chunks.capacity(), 0);
    }

    #[test]
    fn a_chunk_that_fits_just_so_is_taken_whole() {
        let mut send = SendBuffer::default();
        for _ in 0..3 {
            send.push(&mut Bytes::from(std::vec![1; 5000]), usize::MAX, CHUNK);
        }
        let taken = [(); 3].map(|()| send.take(5000).len());
        assert_eq!((taken, send.queued()), ([5000; 3], 0));
    }

    #[test]
    fn copies_do_not_pin_shared_buffers_and_are_given_back_as_they_are_read() {
        let shared = Bytes::from(std::vec![7; 1024 * 1024]);
        let mut recv = RecvBuffer::default();
        for _ in 0..40 {
            recv.push(shared.slice(0..4096), true);
        }
        assert!(shared.is_unique(), "no slice of the read buffer is left");
        let largest = recv.chunks.sealed.iter().map(Bytes::len).max().unwrap();
        assert!(largest <= PIECE, "reading gives memory back: {largest}");
        let mut read = 0;
        while recv.unread() > 0 {
            read += recv.read(usize::MAX).len();
        }
        assert_eq!(read, 40 * 4096);
        assert_eq!(recv.chunks.capacity(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn chunks_of_every_kind_keep_their_order() {
        let mut recv = RecvBuffer::default();
        let (mut sent, mut read) = (Vec::new(), Vec::new());
        let marks = (0..=u8::MAX).cycle();
        for (round, mark) in (0..3000).zip(marks) {
            let size = [1, 5000, 100, 4096, 20_000, 4095, 70_000][round % 7];
            let payload = std::vec![mark; size];
            sent.extend_from_slice(&payload);
            recv.push(payload.into(), round / 250 % 2 == 0);
            // In waves, so that the reader lags and catches up, out of step with the copying.
            let size = if round / 500 % 2 == 0 { 7000 } else { 40_000 };
            read.extend_from_slice(&recv.read(size));
        }
        while recv.unread() > 0 {
            read.extend_from_slice(&recv.read(usize::MAX));
        }
        assert!(sent == read);
        assert_eq!(recv.chunks.capacity(), 0);
    }

    #[test]
    fn small_payloads_are_copied() {
        let shared = Bytes::from(std::vec![7; 1024 * 1024]);
        let mut recv = RecvBuffer::default();
        recv.push(shared.slice(0..10), false);
        assert!(shared.is_unique());
        assert_eq!(recv.read(4).len(), 4);
        assert_eq!(recv.read(100).len(), 6);
    }
}
