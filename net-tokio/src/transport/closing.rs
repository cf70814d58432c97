use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Reads that one poll may do. A peer that never stops sending must not keep the task for itself.
const MAX_READS: usize = 64;

/// How far the orderly end of a transport has come.
///
/// ```text
/// Open ──▶ Flushing ──▶ ShuttingDown ──▶ Draining ──▶ Done
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// It has not begun.
    Open,
    /// What is queued, the goodbye included, is on its way to the socket.
    Flushing,
    /// The write side is being shut down.
    ShuttingDown,
    /// What the remote still sends is discarded.
    Draining,
    /// Nothing is left to do.
    Done,
}

/// Discards what arrives, until nothing more does.
pub(crate) fn poll_drain(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
    for _ in 0..MAX_READS {
        if !ready!(poll_discard(io, cx)) {
            return Poll::Ready(());
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// False when nothing more can arrive.
fn poll_discard(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<bool> {
    let mut space = [0; 4096];
    let mut buffer = ReadBuf::new(&mut space);
    let read = ready!(Pin::new(io).poll_read(cx, &mut buffer));
    Poll::Ready(read.is_ok() && !buffer.filled().is_empty())
}
