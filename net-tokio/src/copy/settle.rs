//! The last moments of a socket: a close must not take what the remote has not received yet.

use super::socket::Socket;
use super::{Copy, LAST_BYTES, Up};
use crate::kernel::acknowledged;

impl<S: Socket> Copy<S> {
    /// Waits until the remote has received what was written to the socket, where the coming close
    /// would drop it: one that resets, or leaves input unread. Cancel safe.
    pub(super) async fn settle(&mut self, failed: bool) {
        // A socket that was read to its end is closed in order by its kernel.
        let drops = failed || self.up == Up::Dead;
        if drops && self.unacked && self.broken.is_none() {
            let socket = &mut self.socket;
            // A future that is seldom needed takes no room in those of all connections.
            Box::pin(acknowledged(move || socket.tcp(), LAST_BYTES)).await;
        }
    }
}
