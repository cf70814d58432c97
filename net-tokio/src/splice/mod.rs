//! Splices two byte streams, such as a socket and a tunnel stream, in both directions, in one task.
//!
//! An error in one direction loses no bytes of the other, nor earlier bytes of the same one: bytes
//! before a reset are delivered, and then the reset, as between two sockets that are connected
//! directly.
//!
//! No buffer is kept for an idle connection: a read borrows the thread's scratch buffer for the
//! length of one poll, and bytes that the destination does not accept stay in the source.

mod flow;
mod limit;
mod side;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use watertight_core::ConnectionEnd;
use watertight_core::wire::ResetCode;

use crate::kernel::{Keepalive, acknowledged};
use crate::session::InHand;
use crate::stream::TunnelStream;

use flow::{End, Failed, Flow, FlowState};
use limit::Limit;
pub use side::Side;

/// The most bytes that are read from a source before the destination has accepted them.
const IN_HAND: usize = 64 << 10;

/// The same while the process is short of memory.
const LESS_IN_HAND: usize = 16 << 10;
const _: () = assert!(LESS_IN_HAND < IN_HAND, "a lack of memory reduces the bytes in hand");

/// Rounds of a poll before it yields.
const ROUNDS: usize = 4;

/// The idle timeout of a connection that can finish, but does not: a half-closed one, or one whose
/// last bytes the destination does not accept. Long enough for a slow answer; short enough that
/// such connections do not accumulate behind a remote that never closes.
const IDLE: Duration = Duration::from_secs(300);

/// The idle timeout of bytes before a failure, until the destination accepts [`SOME`](limit::SOME)
/// of them: without a tunnel between, a remote that reads nothing receives a reset at once.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// The idle timeout of reading a side that cannot be written, before its failure is passed on. A
/// TCP socket that was reset is at its end as soon as it is read; a Unix socket may have more.
const READ_ON: Duration = Duration::from_secs(5);
const _: () = assert!(READ_ON.as_secs() < IDLE.as_secs(), "a failure shortens the idle timeout");

/// Bytes that were passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spliced {
    /// From the first side to the second one.
    pub sent: u64,
    /// From the second side to the first one.
    pub received: u64,
}

/// The meaning of the first side's end of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnEof {
    /// It is passed on, and leaves the other direction open.
    HalfClose,
    /// It ends the connection, after the bytes before it have been sent: a session in the base
    /// dialect cannot half-close. A client that waits for the end of the answer would wait without
    /// end otherwise, and remotedialer does the same.
    Close,
}

/// Splices a socket, or another stream, and a tunnel stream, as [`splice_sides`] does. The session counts the
/// bytes in hand.
pub(crate) fn splice<A: Side>(
    side: A,
    stream: TunnelStream,
    on_eof: OnEof,
    keepalive: Keepalive,
) -> impl Future<Output = io::Result<Spliced>> + Send {
    let in_hand = Some(stream.in_hand());
    Splice::new(side, stream, on_eof, keepalive, in_hand).run()
}

/// Splices two sides until both directions have finished, or one fails. A machine that is silent
/// for longer than `keepalive` has vanished.
///
/// Dropping the future resets both sides: a remote does not mistake a truncated stream for a
/// complete one.
///
/// # Errors
///
/// The first failure of either side. The other one has received the bytes before it by then, and
/// was reset with the reason.
pub fn splice_sides<A: Side, B: Side>(
    a: A,
    b: B,
    keepalive: Keepalive,
) -> impl Future<Output = io::Result<Spliced>> + Send {
    Splice::new(a, b, OnEof::HalfClose, keepalive, None).run()
}

struct Splice<A: Side, B: Side> {
    a: End<A>,
    b: End<B>,
    a_to_b: Flow,
    b_to_a: Flow,
    on_eof: OnEof,
    /// The silence after which a machine has vanished.
    vanishes_after: Option<Duration>,
    in_hand: Option<InHand>,
    /// The timeout that is running.
    limit: Option<Limit>,
    /// Whether both directions have finished, with everything passed on.
    complete: bool,
}

enum Failure {
    A(io::Error),
    B(io::Error),
    Idle,
}

impl<A: Side, B: Side> Splice<A, B> {
    fn new(a: A, b: B, on_eof: OnEof, keepalive: Keepalive, in_hand: Option<InHand>) -> Self {
        Self {
            a: End::new(a),
            b: End::new(b),
            a_to_b: Flow::default(),
            b_to_a: Flow::default(),
            on_eof,
            vanishes_after: keepalive.time(),
            in_hand,
            limit: None,
            complete: false,
        }
    }

    #[allow(clippy::manual_async_fn, reason = "it would keep `self` twice")]
    fn run(mut self) -> impl Future<Output = io::Result<Spliced>> + Send {
        async move {
            let result = poll_fn(|cx| self.poll(cx)).await;
            // The failure reaches the remaining side before a socket is settled, which may take a
            // while.
            let result = self.pass_on(result);
            self.settle(result.is_err()).await;
            self.close(result)
        }
    }

    fn close(mut self, result: io::Result<Spliced>) -> io::Result<Spliced> {
        // A target may have ended before everything was written to it.
        debug_assert!(result.is_err() || self.has_ended(), "a splice succeeds at the end of both");
        self.complete = result.is_ok() && self.b_to_a.held() == 0;
        result
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let polled = self.poll_rounds(cx);
        if let Some(in_hand) = &mut self.in_hand {
            in_hand.set(self.a_to_b.held() + self.b_to_a.held(), cx);
        }
        polled
    }

    fn poll_rounds(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        for _ in 0..ROUNDS {
            let sent = self.poll_a_to_b(cx)?.is_ready();
            let received = self.poll_b_to_a(cx)?.is_ready();
            if self.has_ended() {
                return Poll::Ready(Ok(()));
            }
            if !sent && !received {
                return self.poll_blocked(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_a_to_b(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let most = self.most();
        let Self { a, b, a_to_b, b_to_a, .. } = self;
        let polled = a_to_b.poll(cx, a, b, b_to_a, most);
        if self.on_eof == OnEof::Close && self.a_to_b.has_finished() {
            // Dropping the finished stream sends what is queued, and then the end.
            self.b_to_a.finish();
        }
        polled.map_err(|failed| match failed {
            Failed::From(error) => Failure::A(error),
            Failed::To(error) => Failure::B(error),
        })
    }

    fn poll_b_to_a(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let most = self.most();
        let Self { a, b, a_to_b, b_to_a, .. } = self;
        b_to_a.poll(cx, b, a, a_to_b, most).map_err(|failed| match failed {
            Failed::From(error) => Failure::B(error),
            Failed::To(error) => Failure::A(error),
        })
    }

    fn most(&self) -> usize {
        let is_short = self.in_hand.as_ref().is_some_and(InHand::is_short);
        if is_short { LESS_IN_HAND } else { IN_HAND }
    }

    fn has_ended(&self) -> bool {
        self.a_to_b.has_ended() && self.b_to_a.has_ended()
    }

    /// Nothing moves: checks for a failure that nothing reports, and for a timeout that has passed.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.check_sides(cx)?;
        if self.has_ended() {
            return Poll::Ready(Ok(()));
        }
        match self.timeout(cx) {
            Some(timeout) => self.poll_limit(cx, timeout),
            None => {
                self.limit = None;
                Poll::Pending
            }
        }
    }

    fn check_sides(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Self { a, b, a_to_b, b_to_a, limit, vanishes_after, .. } = self;
        let mut acknowledged = false;
        let unread = a_to_b.is_unread();
        if let Some(error) = a.poll_check(cx, unread, *vanishes_after, &mut acknowledged) {
            b_to_a.break_off(a, error, a_to_b).map_err(Failure::A)?;
        }
        let unread = b_to_a.is_unread();
        if let Some(error) = b.poll_check(cx, unread, *vanishes_after, &mut acknowledged) {
            a_to_b.break_off(b, error, b_to_a).map_err(Failure::B)?;
        }
        if acknowledged {
            limit.iter_mut().for_each(Limit::moved);
        }
        Ok(())
    }

    /// The idle timeout; `None` if without a limit.
    fn timeout(&mut self, cx: &mut Context<'_>) -> Option<Duration> {
        if self.in_hand.as_mut().is_some_and(InHand::is_written_off) {
            return Some(Duration::ZERO);
        }
        let half_closed = self.a_to_b.is_open() != self.b_to_a.is_open();
        let of_a = self.a.timeout(cx, &self.a_to_b);
        let of_b = self.b.timeout(cx, &self.b_to_a);
        let of_side = of_a.into_iter().chain(of_b).min();
        of_side.or_else(|| half_closed.then_some(IDLE))
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>, timeout: Duration) -> Poll<Result<(), Failure>> {
        let passed = self.a_to_b.passed() + self.b_to_a.passed();
        let running = self.limit.take().filter(|limit| limit.is_of(timeout));
        let mut limit = running.unwrap_or_else(|| Limit::start(timeout, passed));
        limit.notice(passed);
        while limit.poll(cx).is_ready() {
            // A socket with a long queue sends for a while without accepting more.
            if !self.a.acknowledged_more() && !self.b.acknowledged_more() {
                return Poll::Ready(Err(self.idle()));
            }
            limit.moved();
        }
        self.limit = Some(limit);
        Poll::Pending
    }

    fn idle(&mut self) -> Failure {
        // Bytes that were not acknowledged so far are not waited for again.
        self.a.forget_unacknowledged();
        self.b.forget_unacknowledged();
        match (self.a.take_error(), self.b.take_error()) {
            (Some(error), _) => Failure::A(error),
            (None, Some(error)) => Failure::B(error),
            (None, None) => Failure::Idle,
        }
    }

    /// Resets the side that has not failed, with the failure.
    fn pass_on(&self, result: Result<(), Failure>) -> io::Result<Spliced> {
        match result {
            Ok(()) => Ok(Spliced { sent: self.a_to_b.passed(), received: self.b_to_a.passed() }),
            Err(Failure::A(error)) => Err(reset(&self.b.side, error)),
            Err(Failure::B(error)) => Err(reset(&self.a.side, error)),
            Err(Failure::Idle) => {
                let text = "the connection could have finished and was idle for too long";
                self.a.side.reset(ResetCode::STALLED, text);
                self.b.side.reset(ResetCode::STALLED, text);
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }

    /// Waits until the remotes have acknowledged what was written, if the coming close would
    /// discard it: a reset, or a close with unread input. Cancel safe.
    async fn settle(&mut self, failed: bool) {
        // The kernel closes a socket that was read to its end in order.
        let a = self.a.unsettled(failed || self.a_to_b.state() == FlowState::Dead);
        let b = self.b.unsettled(failed || self.b_to_a.state() == FlowState::Dead);
        if a || b || (failed && (self.a_to_b.is_unflushed() || self.b_to_a.is_unflushed())) {
            // Boxed, so that a rare future takes no space in those of all connections.
            Box::pin(async {
                tokio::join!(self.a.settle(failed, a), self.b.settle(failed, b));
            })
            .await;
        }
    }
}

impl<S: Side> End<S> {
    async fn settle(&mut self, flush: bool, acknowledge: bool) {
        if flush {
            // TLS may buffer bytes until the remote accepts more.
            let flushing = poll_fn(|cx| Pin::new(&mut self.side).poll_flush(cx));
            tokio::time::timeout(LAST_BYTES, flushing).await.ok();
        }
        if acknowledge {
            let side = &mut self.side;
            acknowledged(move || side.tcp(), LAST_BYTES).await;
        }
    }
}

/// Resets a side for the failure of the other one. Returns the error with the reason that the
/// remote receives.
fn reset(side: &impl Side, error: io::Error) -> io::Error {
    let (code, error) = reset_for(error);
    side.reset(code, &error.to_string());
    error
}

/// The code of a failure, and the reason that the remote receives.
fn reset_for(error: io::Error) -> (ResetCode, io::Error) {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    let end = error.get_ref().and_then(|source| source.downcast_ref::<ConnectionEnd>());
    if let Some(end) = end {
        return (end.code.unwrap_or(ResetCode::CANCELLED), error);
    }
    match error.kind() {
        TimedOut | HostUnreachable | NetworkUnreachable => {
            let text = format!("the machine no longer answers: {error}");
            (ResetCode::VANISHED, io::Error::new(TimedOut, text))
        }
        _ => (ResetCode::CANCELLED, error),
    }
}

impl<A: Side, B: Side> Drop for Splice<A, B> {
    fn drop(&mut self) {
        if !self.complete {
            self.a.side.abort();
            self.b.side.abort();
        }
    }
}
