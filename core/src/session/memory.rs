//! What a session does when the end that it runs in is short of memory.

use super::Session;
use crate::{ConnectionId, Instant};

impl Session {
    /// Whether this end is short of memory, which its adapter knows: all of its sessions together hold
    /// much. While it is, windows go back
    /// to their first size, a remotedialer end is paused as if the session's own budget were
    /// tight, and applications have room for one Data message more in each connection.
    pub fn set_short_of_memory(&mut self, now: Instant, short: bool) {
        self.at(now);
        self.short_of_memory = short;
    }

    /// The connection with the most bytes that were received and not read, with their number; `None` if
    /// there are no such bytes. To [`reset`](Self::reset) it, or to read it, gives the memory back.
    #[must_use]
    pub fn most_unread(&self) -> Option<(ConnectionId, usize)> {
        let unread = self.table.iter().map(|(id, row)| (id, row.recv.unread()));
        unread.max_by_key(|(_, unread)| *unread).filter(|(_, unread)| *unread > 0)
    }

    /// Bytes of one connection that the application may have queued.
    pub(super) fn send_buffer(&self) -> usize {
        let limits = &self.config.limits;
        if self.short_of_memory {
            limits.send_buffer.min(limits.max_data)
        } else {
            limits.send_buffer
        }
    }
}
