//! The connections that the application knows, with the byte counts that bound its reads and writes.

use watertight_core::ConnectionId;

/// So many of the newest connections are those that something happens to.
pub(super) const NEWEST: u8 = 8;

/// A connection that the application has heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) id: ConnectionId,
    /// The remote dialled it, or has answered the application's dial.
    pub(super) opened: bool,
    pub(super) retired: bool,
    /// Bytes sent, bytes that may be sent, and bytes that the remote may send, since the beginning.
    pub(super) totals: (u64, u64, u64),
    /// Bytes that the application has read.
    pub(super) read: u64,
}

impl Known {
    pub(super) const fn new(id: ConnectionId, opened: bool) -> Self {
        Self { id, opened, retired: false, totals: (0, 0, 0), read: 0 }
    }
}
