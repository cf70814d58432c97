//! One direction of a splice, and the state of each of its ends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Sleep;

use super::side::{PIECES, Side, poll_shutdown};
use super::{IDLE, LAST_BYTES, READ_ON};

/// Bytes for which another read is worth its system call.
const LEAST: usize = 16 << 10;

/// The interval of checks on a side that reports nothing by itself: it is not read, because the
/// destination accepts nothing, or its remote may not have acknowledged what was written.
pub(super) const CHECK: Duration = Duration::from_secs(3);

/// A side, with its failure and its checks.
pub(super) struct End<S> {
    pub(super) side: S,
    /// The error after which it cannot be written. Its earlier input is still passed on.
    broken: Option<io::Error>,
    /// Whether its remote may not have acknowledged what was written.
    unacked: bool,
    /// The bytes that the remote had acknowledged at the last check.
    acked: u64,
    /// The next check.
    check: Option<Pin<Box<Sleep>>>,
}

impl<S: Side> End<S> {
    pub(super) fn new(side: S) -> Self {
        Self { side, broken: None, unacked: false, acked: 0, check: None }
    }

    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    pub(super) fn forget_unacknowledged(&mut self) {
        self.unacked = false;
    }

    /// Whether a close that `drops` unacknowledged bytes would lose some.
    pub(super) fn unsettled(&self, drops: bool) -> bool {
        debug_assert!(S::NEEDS_CHECKS || !self.unacked, "only a side with checks is waited for");
        drops && self.unacked && self.broken.is_none()
    }

    /// Only the first failure is kept.
    fn breaks(&mut self, error: io::Error) -> &mut io::Error {
        self.broken.get_or_insert(error)
    }

    fn was_written(&mut self) {
        self.unacked = S::NEEDS_CHECKS;
    }

    /// Checks periodically for a failure that neither a read nor a write reports. `acknowledged` is
    /// set if the remote has acknowledged bytes since the last check.
    pub(super) fn poll_check(
        &mut self,
        cx: &mut Context<'_>,
        unread: bool,
        vanishes_after: Option<Duration>,
        acknowledged: &mut bool,
    ) -> Option<io::Error> {
        loop {
            if !S::NEEDS_CHECKS || self.broken.is_some() || !(unread || self.unacked) {
                self.check = None;
                return None;
            }
            let check = self.check.get_or_insert_with(|| Box::pin(tokio::time::sleep(CHECK)));
            if check.as_mut().poll(cx).is_pending() {
                return None;
            }
            self.check = None;
            let failure = self.side.failure().or_else(|| {
                *acknowledged |= self.acknowledged_more();
                self.vanished(vanishes_after)
            });
            if failure.is_some() {
                return failure;
            }
        }
    }

    /// Whether bytes wait for a machine that has been silent for too long. TCP keepalive does not
    /// detect it: it probes idle connections.
    fn vanished(&mut self, after: Option<Duration>) -> Option<io::Error> {
        let state = self.side.tcp();
        self.unacked = state.is_some_and(|state| state.unacked);
        state?.has_vanished(after?).then(|| io::ErrorKind::TimedOut.into())
    }

    /// Whether the remote has acknowledged bytes since the last call.
    pub(super) fn acknowledged_more(&mut self) -> bool {
        let acked = self.side.tcp().map_or(0, |state| state.acked);
        acked > std::mem::replace(&mut self.acked, acked)
    }

    /// The idle timeout that follows from a failure or an end of this side; `flow` is the direction
    /// that reads it.
    pub(super) fn timeout(&mut self, cx: &mut Context<'_>, flow: &Flow) -> Option<Duration> {
        if self.broken.is_some() {
            return Some(if flow.waits { LAST_BYTES } else { READ_ON });
        }
        if flow.reads() {
            return None;
        }
        match self.side.poll_ended(cx) {
            Poll::Ready(false) => Some(LAST_BYTES),
            Poll::Ready(true) => Some(IDLE),
            Poll::Pending => None,
        }
    }
}

/// The state of a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FlowState {
    #[default]
    Flowing,
    /// The source has failed; the failure follows the bytes in hand.
    Cut,
    /// The source has ended; the end follows the bytes in hand.
    Finishing,
    /// The end was passed on.
    Done,
    /// The destination accepts nothing more.
    Dead,
}

/// The side of a direction that failed.
pub(super) enum Failed {
    From(io::Error),
    To(io::Error),
}

/// Bytes in transit from one side to the other.
#[derive(Default)]
pub(super) struct Flow {
    state: FlowState,
    /// Read, and not yet written.
    in_hand: Vec<Bytes>,
    /// Bytes that were written.
    passed: u64,
    /// Whether the destination accepts nothing, so that the source is not read.
    waits: bool,
    /// Whether the destination may buffer bytes.
    unflushed: bool,
}

impl Flow {
    pub(super) fn state(&self) -> FlowState {
        self.state
    }

    /// Whether nothing more is passed on.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, FlowState::Done | FlowState::Dead)
    }

    /// Whether the source may have more.
    pub(super) fn is_open(&self) -> bool {
        self.state == FlowState::Flowing
    }

    /// Whether the end was read and passed on.
    pub(super) fn has_finished(&self) -> bool {
        self.state == FlowState::Done
    }

    /// Whether a failure of the source would not show by a read: the destination takes nothing, or the source
    /// was read to its end.
    pub(super) fn is_unread(&self) -> bool {
        !self.reads() && self.state != FlowState::Dead
    }

    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    fn reads(&self) -> bool {
        self.is_open() && !self.waits
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) fn held(&self) -> usize {
        self.in_hand.iter().map(Bytes::len).sum()
    }

    /// Ends the direction. Bytes in hand are not passed on.
    pub(super) fn finish(&mut self) {
        self.state = FlowState::Done;
    }

    /// Moves at most `most` bytes. Ready if something has moved; `reverse` is the other direction.
    pub(super) fn poll<X: Side, Y: Side>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut End<X>,
        to: &mut End<Y>,
        reverse: &Self,
        most: usize,
    ) -> Poll<Result<(), Failed>> {
        if self.has_ended() {
            return Poll::Pending;
        }
        if self.is_open() && self.in_hand.is_empty() {
            match to.side.poll_writable(cx) {
                Poll::Ready(Ok(writable)) => {
                    self.read(cx, from, most.min(writable));
                    debug_assert!(self.held() <= most, "the bytes in hand are bounded");
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(self.destination_broke(to, error, reverse));
                }
                Poll::Pending => self.waits = true,
            }
        }
        if !self.in_hand.is_empty() {
            return self.poll_write(cx, to, reverse);
        }
        match self.state {
            FlowState::Cut => {
                Poll::Ready(Err(Failed::From(from.take_error().unwrap_or_else(cut_off))))
            }
            FlowState::Finishing => self.poll_finish(cx, from, to, reverse),
            _ => self.poll_flush(cx, to, reverse),
        }
    }

    /// Reads until the source is empty, or enough is in hand for one write.
    fn read<X: Side>(&mut self, cx: &mut Context<'_>, from: &mut End<X>, most: usize) {
        debug_assert!(self.in_hand.is_empty() && most > 0, "reads when nothing is in hand");
        self.waits = false;
        let mut left = most;
        while self.in_hand.is_empty() || (left >= LEAST && self.in_hand.len() < PIECES) {
            match from.side.poll_read_bytes(cx, left) {
                Poll::Pending => return,
                Poll::Ready(Ok(data)) if data.is_empty() => {
                    self.state = FlowState::Finishing;
                    return;
                }
                Poll::Ready(Ok(data)) => {
                    left = left.saturating_sub(data.len());
                    self.in_hand.push(data);
                }
                Poll::Ready(Err(error)) => {
                    from.breaks(error);
                    self.state = FlowState::Cut;
                    return;
                }
            }
        }
    }

    fn poll_write<Y: Side>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut End<Y>,
        reverse: &Self,
    ) -> Poll<Result<(), Failed>> {
        debug_assert!(!self.in_hand.is_empty(), "only bytes in hand are written");
        debug_assert!(self.in_hand.len() <= PIECES, "one write can take all bytes in hand");
        // Until it is written, the source is not read.
        self.waits = true;
        match ready!(to.side.poll_write_pieces(cx, &self.in_hand)) {
            Ok(0) => {
                Poll::Ready(self.destination_broke(to, io::ErrorKind::WriteZero.into(), reverse))
            }
            Ok(written) => {
                self.waits = false;
                self.passed += written as u64;
                self.unflushed = true;
                to.was_written();
                self.taken(written);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(self.destination_broke(to, error, reverse)),
        }
    }

    /// Removes the first `written` bytes in hand.
    fn taken(&mut self, mut written: usize) {
        self.in_hand.retain_mut(|data| {
            let part = written.min(data.len());
            data.advance(part);
            written -= part;
            !data.is_empty()
        });
        debug_assert_eq!(written, 0, "a write takes at most the bytes in hand");
        if self.in_hand.is_empty() {
            // An idle connection keeps no memory.
            self.in_hand = Vec::new();
        }
    }

    /// Flushes bytes that were written, which TLS needs, while nothing is read.
    fn poll_flush<Y: Side>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut End<Y>,
        reverse: &Self,
    ) -> Poll<Result<(), Failed>> {
        debug_assert!(self.in_hand.is_empty(), "bytes in hand are written before a flush");
        if self.unflushed {
            let flushed = ready!(Pin::new(&mut to.side).poll_flush(cx));
            self.unflushed = false;
            if let Err(error) = flushed {
                return Poll::Ready(self.destination_broke(to, error, reverse));
            }
        }
        Poll::Pending
    }

    fn poll_finish<X: Side, Y: Side>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut End<X>,
        to: &mut End<Y>,
        reverse: &Self,
    ) -> Poll<Result<(), Failed>> {
        debug_assert!(self.in_hand.is_empty(), "an end follows the bytes in hand");
        // The kernel reports a reset once, here to a write or a check, and an end of file after it.
        // A socket that was at its end before the reset reports a broken pipe (EPIPE) instead: the
        // end is a real one.
        let is_cut = |error: &mut io::Error| error.kind() != io::ErrorKind::BrokenPipe;
        if let Some(error) = from.broken.take_if(is_cut) {
            return Poll::Ready(Err(Failed::From(error)));
        }
        let done = ready!(poll_shutdown(&mut to.side, cx));
        self.state = FlowState::Done;
        self.unflushed = false;
        to.was_written();
        Poll::Ready(match done {
            Ok(()) => Ok(()),
            Err(error) => self.destination_broke(to, error, reverse),
        })
    }

    fn destination_broke<Y: Side>(
        &mut self,
        to: &mut End<Y>,
        error: io::Error,
        reverse: &Self,
    ) -> Result<(), Failed> {
        self.break_off(to, error, reverse).map_err(Failed::To)
    }

    /// The destination accepts nothing more. Its earlier input is still read, and its failure
    /// follows that.
    ///
    /// # Errors
    ///
    /// It was read to its end.
    pub(super) fn break_off<Y: Side>(
        &mut self,
        to: &mut End<Y>,
        error: io::Error,
        reverse: &Self,
    ) -> Result<(), io::Error> {
        self.state = FlowState::Dead;
        self.in_hand = Vec::new();
        self.unflushed = false;
        if Y::READ_REPORTS_ALL {
            return Ok(());
        }
        to.breaks(error);
        if reverse.has_ended() { Err(to.take_error().unwrap_or_else(cut_off)) } else { Ok(()) }
    }
}

/// A fallback for a failure whose error was taken before, which does not happen.
fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
