//! The one owner of a connection: dropping the last half releases it in the core.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;
use tracing::Span;
use watertight_core::session::{ReadError, WriteError};
use watertight_core::wire::{Dialect, ResetCode};
use watertight_core::{Cause, ConnectionEnd, ConnectionId, ReadEnd, Session};

use crate::session::{InHand, Locked, Shared, State};
use crate::sync::{Sleep, sleep_until};

/// The direction of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

#[derive(Debug)]
pub(super) struct Handle {
    shared: Arc<Shared>,
    id: ConnectionId,
    span: Span,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, id: ConnectionId, target: &str) -> Self {
        let span = shared.connection_span(id, target);
        Self { shared, id, span }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(super) fn in_hand(&self) -> InHand {
        InHand::new(Arc::clone(&self.shared), self.id)
    }

    pub(super) fn half_closes(&self) -> bool {
        self.shared.lock().core.dialect() == Dialect::Extended
    }

    /// Bytes that have arrived, at most `max`; empty at the end.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        max: usize,
        timer: &mut Timer,
    ) -> Poll<Result<Bytes, StreamError>> {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        // An empty read means the end, so that an empty one must not be requested.
        let read = state.core.read(now, self.id, max.max(1));
        let result = match read {
            Ok(data) => {
                debug_assert!(data.len() <= max.max(1), "a read returns at most its maximum");
                self.shared.has_read(data.len());
                Ok(data)
            }
            Err(ReadError::Blocked) => {
                return self.wait(state, Direction::Read, cx, timer).map(Err);
            }
            Err(ReadError::Ended(end)) => Err(end.into()),
            Err(ReadError::Unknown) => self.end_of_reading(&mut state),
        };
        timer.stop();
        state.dispatch();
        // In the base dialect a read may also start the timeout of a half-closed connection.
        if state.core.has_transmit() || state.core.dialect() == Dialect::Base {
            state.wake_driver();
        }
        Poll::Ready(result)
    }

    /// The row was removed: the end records whether everything had arrived.
    fn end_of_reading(&self, state: &mut State) -> Result<Bytes, StreamError> {
        match state.handle(self.id).and_then(|handle| handle.end.as_ref()) {
            Some(end) if end.complete => Ok(Bytes::new()),
            Some(end) => Err(end.clone().into()),
            None => Err(StreamError::NotConnected),
        }
    }

    /// Whether nothing more is in transit, and then whether everything had arrived.
    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        if let Some(end) = self.read_end(&mut state) {
            return Poll::Ready(end == ReadEnd::EndOfFile);
        }
        if let Some(handle) = state.handle(self.id) {
            handle.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether the connection failed before everything had arrived.
    pub(super) fn is_cut(&self) -> bool {
        self.read_end(&mut self.shared.lock()) == Some(ReadEnd::CutOff)
    }

    /// `None` while bytes may still arrive; then whether everything had arrived.
    fn read_end(&self, state: &mut State) -> Option<ReadEnd> {
        if let Some(end) = state.core.read_end(self.id) {
            return Some(end);
        }
        let Some(handle) = state.handle(self.id) else { return Some(ReadEnd::CutOff) };
        let complete = handle.end.as_ref()?.complete;
        Some(if complete { ReadEnd::EndOfFile } else { ReadEnd::CutOff })
    }

    /// The number of bytes that a write would take now; never zero.
    pub(super) fn poll_writable(
        &self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
    ) -> Poll<Result<usize, StreamError>> {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let writable = state.core.writable(now, self.id);
        self.written(state, writable, cx, timer)
    }

    /// Takes bytes to send: `take` gets the writable number of bytes and returns at most as many.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
        take: impl FnOnce(usize) -> Bytes,
    ) -> Poll<Result<usize, StreamError>> {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let written = state.core.writable(now, self.id).and_then(|writable| {
            debug_assert!(writable > 0, "a connection that is not writable is blocked");
            let mut data = take(writable);
            debug_assert!(data.len() <= writable, "a write fits into what is writable");
            state.core.write(now, self.id, &mut data)
        });
        if written.is_ok() {
            state.wake_driver();
        }
        self.written(state, written, cx, timer)
    }

    fn written(
        &self,
        mut state: Locked<'_>,
        written: Result<usize, WriteError>,
        cx: &mut Context<'_>,
        timer: &mut Timer,
    ) -> Poll<Result<usize, StreamError>> {
        let result = match written {
            Ok(written) => Ok(written),
            Err(WriteError::Blocked) => {
                return self.wait(state, Direction::Write, cx, timer).map(Err);
            }
            Err(WriteError::Finished) => Err(StreamError::ShutDown),
            Err(WriteError::Ended(end)) => Err(end.into()),
            Err(WriteError::Unknown) => Err(self.end_error(&mut state)),
        };
        timer.stop();
        Poll::Ready(result)
    }

    fn end_error(&self, state: &mut State) -> StreamError {
        match state.handle(self.id).and_then(|handle| handle.end.as_ref()) {
            Some(end) => end.clone().into(),
            None => StreamError::NotConnected,
        }
    }

    /// Parks the caller until its event, or until its deadline, which becomes the error.
    fn wait(
        &self,
        mut state: Locked<'_>,
        direction: Direction,
        cx: &mut Context<'_>,
        timer: &mut Timer,
    ) -> Poll<StreamError> {
        state.dispatch();
        let Some(handle) = state.handle(self.id) else {
            return Poll::Ready(StreamError::NotConnected);
        };
        let (slot, deadline) = match direction {
            Direction::Read => (&mut handle.reader, handle.read_deadline),
            Direction::Write => (&mut handle.writer, handle.write_deadline),
        };
        match slot {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *slot = Some(cx.waker().clone()),
        }
        drop(state);
        timer.poll_passed(deadline, cx).map(|()| StreamError::DeadlinePassed)
    }

    /// Sets a deadline and wakes a blocked call, which then applies it.
    pub(super) fn set_deadline(&self, direction: Direction, deadline: Option<Instant>) {
        let mut state = self.shared.lock();
        let Some(handle) = state.handle(self.id) else { return };
        let waker = match direction {
            Direction::Read => {
                handle.read_deadline = deadline;
                handle.reader.take()
            }
            Direction::Write => {
                handle.write_deadline = deadline;
                handle.writer.take()
            }
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn finish(&self) -> Result<(), StreamError> {
        let finish = |core: &mut Session, now| match core.finish(now, self.id) {
            Ok(()) => Ok(Ok(())),
            // Cut off, with bytes still to be read.
            Err(_) => match core.writable(now, self.id) {
                Err(WriteError::Ended(end)) => Ok(Err(end.into())),
                _ => Err(()),
            },
        };
        let (finished, gone) = self.shared.command_then(finish, |state| {
            match state.handle(self.id).and_then(|handle| handle.end.as_ref()) {
                // Both directions have ended.
                Some(end) if end.complete => Ok(()),
                _ => Err(self.end_error(state)),
            }
        });
        finished.unwrap_or(gone)
    }

    pub(super) fn reset(&self, code: ResetCode, reason: &str) {
        // A connection that has ended needs no reset.
        self.shared.command(|core, now| core.reset(now, self.id, code, reason)).ok();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let release = |core: &mut Session, now| core.release(now, self.id);
        let ((), removed) = self.shared.command_then(release, |state| state.remove_handle(self.id));
        debug_assert!(removed.is_some(), "a connection has a handle until it is released");
        // The wakers in it are dropped outside the lock.
        drop(removed);
    }
}

/// A sleep that exists only while a call with a deadline is blocked.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// The call is not blocked any more.
    fn stop(&mut self) {
        self.0 = None;
    }

    fn poll_passed(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.stop();
            return Poll::Pending;
        };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        let passed = sleep.as_mut().poll(cx);
        if passed.is_ready() {
            self.stop();
        }
        passed
    }
}

/// Why a call on a stream failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection ended before the remote had finished. The text is the remote's reason, if it
    /// sent one.
    #[error(transparent)]
    Ended(#[from] ConnectionEnd),
    /// This direction was shut down.
    #[error("this direction was shut down")]
    ShutDown,
    /// The deadline that was set on the stream has passed. The stream stays usable.
    #[error("the deadline set on the stream has passed")]
    DeadlinePassed,
    /// The connection has ended, and its reason is not known any more.
    #[error("the connection is gone")]
    NotConnected,
}

impl StreamError {
    /// The kind of the [`io::Error`] that it becomes.
    #[must_use]
    pub const fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Ended(end) => kind_of(end.cause),
            Self::ShutDown => io::ErrorKind::BrokenPipe,
            Self::DeadlinePassed => io::ErrorKind::TimedOut,
            Self::NotConnected => io::ErrorKind::NotConnected,
        }
    }
}

impl From<StreamError> for io::Error {
    /// An error whose source is the [`ConnectionEnd`], or the stream's error itself.
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Ended(end) => Self::new(kind_of(end.cause), end),
            error => Self::new(error.kind(), error),
        }
    }
}

const fn kind_of(cause: Cause) -> io::ErrorKind {
    match cause {
        Cause::RemoteReset | Cause::Dropped | Cause::Stopped => io::ErrorKind::ConnectionReset,
        Cause::Refused => io::ErrorKind::ConnectionRefused,
        Cause::DialTimeout | Cause::AcceptTimeout | Cause::LingerTimeout | Cause::Vanished => {
            io::ErrorKind::TimedOut
        }
        Cause::Finished | Cause::RemoteClosed => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::ConnectionAborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_kind() {
        let kinds = Cause::ALL.map(|cause| (cause.name(), kind_of(cause)));
        let of = |kind| {
            let its = kinds.iter().filter(|(_, of)| *of == kind);
            its.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
        };
        for (kind, causes) in [
            (io::ErrorKind::ConnectionReset, "dropped stopped remote_reset"),
            (io::ErrorKind::ConnectionRefused, "refused"),
            (io::ErrorKind::TimedOut, "vanished dial_timeout accept_timeout linger_timeout"),
            (io::ErrorKind::BrokenPipe, "finished remote_closed"),
            (
                io::ErrorKind::ConnectionAborted,
                "aborted not_listed overrun going_away session_ended",
            ),
        ] {
            assert_eq!(of(kind), causes, "{kind:?}");
        }
    }
}
