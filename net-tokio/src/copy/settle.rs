//! The last moments of a socket: a close must not take what the remote has not received yet.
//!
//! A socket that is closed with unread input, or by a reset, drops what its kernel has not sent. So
//! what was written is first acknowledged, for as long as the remote takes some of it.

use std::time::Duration;

use tokio::time::sleep;

use super::socket::Socket;
use super::{Copy, LAST_BYTES, Up};

/// The pause before the first look, and the longest one.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(200)];

impl<S: Socket> Copy<S> {
    /// Waits until the remote has received what was written to the socket, where the coming close
    /// would drop it. Cancel safe.
    pub(super) async fn settle(&mut self, failed: bool) {
        // A socket that was read to its end is closed in order by its kernel.
        let drops = failed || self.up == Up::Dead;
        if drops && self.unacked && self.broken.is_none() {
            // The room for it is there only while it lasts.
            Box::pin(acknowledged(&mut self.socket)).await;
        }
    }
}

async fn acknowledged<S: Socket>(socket: &mut S) {
    let [mut pause, longest] = PAUSES;
    let (mut acked, mut waited) = (0, Duration::ZERO);
    while let Some(state) = socket.tcp() {
        if !state.unacked || waited >= LAST_BYTES {
            return;
        }
        if state.acked > acked {
            (acked, waited) = (state.acked, Duration::ZERO);
        }
        sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(longest);
    }
}
