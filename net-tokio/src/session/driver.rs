//! The one task of a session: carries messages between the core and the transport.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use watertight_core::{ConnectionEnd, Event, Transmit};

use super::shared::Shared;
use super::state::Coalescer;
use super::state::{After, Input, Notice, Output, Progress, TRANSMIT_BATCH, Turn};
use crate::sync::{Sleep, now, sleep_until};
use crate::transport::{Received, Transport, TransportError};

/// Messages that a turn receives before it sends and yields: as much Data as a core's cache still
/// holds when it is read.
const RECEIVE_BUDGET: usize = 16;

/// The same in bytes. No further message is received above it: some may be long.
const RECEIVE_BYTES: usize = 256 << 10;

/// Messages that a poll sends before it yields.
const TRANSMIT_BUDGET: usize = 256;
const _: () = assert!(TRANSMIT_BATCH <= TRANSMIT_BUDGET, "a budget has space for a batch");

/// The timeout of closing a transport in order. The remote may have vanished.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What owns a session, and acts on its events.
///
/// Called outside the session's lock, from the driver's task. Must not block.
pub(crate) trait SessionEvents: Send + 'static {
    /// A dial of the remote, or an event of the session itself. [`Event::Closed`] is reported
    /// exactly once, even if the driver is dropped.
    fn on_event(&mut self, shared: &Arc<Shared>, event: Event);

    /// A dial of a peer's client ended, with an error or before it was answered. It is in order with
    /// the peer's announcements, so that a client which is announced again meanwhile is not
    /// forgotten.
    fn on_client_dial_ended(&mut self, _client: &str, _end: &ConnectionEnd) {}
}

/// Drives a session over a transport until both have ended.
///
/// A poll is a turn: it receives from the transport, processes everything in the session under one
/// lock, and sends the session's output. It is independent of the protocol. Dropping it ends the
/// session, and reports that to the owner.
pub(crate) struct Driver<T: Transport, O: SessionEvents> {
    shared: Arc<Shared>,
    transport: T,
    owner: O,
    timer: Option<Pin<Box<Sleep>>>,
    timeout: Option<watertight_core::Instant>,
    coalescer: Coalescer,
    batch: Vec<Transmit>,
    /// The error after which nothing can be sent. Earlier input is still received.
    broken: Option<TransportError>,
    /// Bytes that the remote's kernel had acknowledged, and that the local one had received, at the
    /// last query.
    last_tcp: (u64, u64),
    phase: Phase,
}

enum Phase {
    Running,
    /// The session has ended; its last messages are being sent, and the transport closes.
    Closing {
        timeout: Pin<Box<Sleep>>,
    },
    Done,
}

impl<T: Transport, O: SessionEvents> Driver<T, O> {
    pub(crate) fn new(shared: Arc<Shared>, transport: T, owner: O) -> Self {
        Self {
            shared,
            transport,
            owner,
            timer: None,
            timeout: None,
            coalescer: Coalescer::default(),
            batch: Vec::new(),
            broken: None,
            last_tcp: (0, 0),
            phase: Phase::Running,
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) {
        let (received, more_in) = self.receive(cx);
        // A transport that failed to write may have received the remote's last messages before.
        let failed = self.broken.take_if(|_| !more_in);
        let progress = self.progress_if_due();
        let after = self.exchange(cx, Input { received, failed, progress });
        let due = self.wait(cx);
        if more_in || after.more || due {
            cx.waker().wake_by_ref();
        }
        if after.ended {
            let timeout = Box::pin(sleep_until(now() + CLOSE_TIMEOUT));
            self.phase = Phase::Closing { timeout };
            cx.waker().wake_by_ref();
        }
    }

    /// Receives up to a budget. `true` if there may be more.
    ///
    /// The session processes all of it under one lock: the tasks that it wakes find the whole
    /// batch, and handle it in one system call.
    fn receive(&mut self, cx: &mut Context<'_>) -> (Vec<Result<Received, TransportError>>, bool) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < RECEIVE_BUDGET && bytes < RECEIVE_BYTES {
            match self.transport.poll_recv(cx) {
                Poll::Pending => return (batch, false),
                Poll::Ready(received) => {
                    bytes += message_length(&received);
                    let last = is_last(&received);
                    batch.push(received);
                    if last {
                        return (batch, false);
                    }
                }
            }
        }
        (batch, true)
    }

    /// The progress of the transport, if a deadline has passed. Deadlines count from the last
    /// movement of bytes, not from the query of the kernel.
    fn progress_if_due(&mut self) -> Option<Progress> {
        let now = self.shared.clock.now();
        self.timeout.filter(|at| *at <= now)?;
        let Some(state) = self.transport.tcp() else { return Some(Progress::default()) };
        let before = std::mem::replace(&mut self.last_tcp, (state.acked, state.received));
        let received = (state.received > before.1).then(|| now - state.received_ago);
        let sent = (state.acked > before.0 && state.unacked).then(|| now - state.silent_for);
        Some(Progress { received, sent })
    }

    /// Processes `input` in the session and sends the session's output: a batch, and further ones
    /// as long as the transport is writable and the budget lasts.
    fn exchange(&mut self, cx: &mut Context<'_>, input: Input) -> After {
        let mut budget = TRANSMIT_BUDGET;
        let mut writable = self.is_writable(cx);
        // Yielding is decided once a poll, and useless once the session has ended.
        let coalesces = matches!(self.phase, Phase::Running);
        let mut after = self.turn(cx, input, writable, coalesces);
        while !self.batch.is_empty() {
            budget = budget.saturating_sub(self.batch.len());
            if let Err(error) = self.send_batch() {
                self.broken = Some(error);
                break;
            }
            writable = after.more && budget > 0 && self.is_writable(cx);
            if !writable {
                break;
            }
            after = self.turn(cx, Input::default(), writable, false);
        }
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = self.transport.poll_flush(cx)
        {
            self.broken = Some(error);
        }
        // A transport that is not writable wakes this task when it is; an error needs another turn.
        after.more = (after.more && (writable || budget == 0)) || self.broken.is_some();
        after
    }

    /// The one critical section of a turn, which fills the batch. The owner gets its notices
    /// afterwards.
    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        input: Input,
        writable: bool,
        coalesces: bool,
    ) -> After {
        debug_assert!(self.batch.is_empty(), "a batch is sent before the next one is taken");
        let Self { shared, coalescer, batch, .. } = self;
        let coalescer = coalesces.then_some(coalescer);
        let mut output = Output::new(writable, coalescer, batch);
        let Turn { notices, timeout, after } = shared.turn(cx.waker(), input, &mut output);
        self.timeout = timeout;
        self.report(notices);
        after
    }

    fn report(&mut self, notices: VecDeque<Notice>) {
        for notice in notices {
            match notice {
                Notice::Event(event) => self.owner.on_event(&self.shared, event),
                Notice::ClientDialEnded { client, end } => {
                    self.owner.on_client_dial_ended(&client, &end);
                }
            }
        }
    }

    fn is_writable(&mut self, cx: &mut Context<'_>) -> bool {
        if self.broken.is_some() {
            return false;
        }
        match self.transport.poll_ready(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => {
                self.broken = Some(error);
                false
            }
        }
    }

    /// Queues the batch in the transport, even if that is more than it was ready for.
    fn send_batch(&mut self) -> Result<(), TransportError> {
        for transmit in self.batch.drain(..) {
            match transmit {
                Transmit::Message(message) => self.transport.send(message)?,
                Transmit::TransportPing(payload) => self.transport.send_ping(payload)?,
            }
        }
        Ok(())
    }

    /// Polls the session's next deadline. `true` if it has passed.
    fn wait(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.timeout else {
            self.timer = None;
            return false;
        };
        if at <= self.shared.clock.now() {
            return true;
        }
        let at = self.shared.clock.to_tokio(at);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// Sends the last messages and closes the transport.
    fn close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.exchange(cx, Input::default());
        debug_assert!(after.ended, "a transport is closed after its session has ended");
        if self.broken.is_some() {
            return Poll::Ready(());
        }
        if after.more {
            cx.waker().wake_by_ref();
        }
        if !after.idle {
            return Poll::Pending;
        }
        let reason = self.shared.lock().core.ended().map_or_else(String::new, ToString::to_string);
        // An error means that there is nothing left to close.
        self.transport.poll_close(cx, &reason).map(drop)
    }
}

fn message_length(received: &Result<Received, TransportError>) -> usize {
    match received {
        Ok(Received::Message(message)) => message.len(),
        _ => 0,
    }
}

/// Whether the transport returns nothing after it.
const fn is_last(received: &Result<Received, TransportError>) -> bool {
    matches!(received, Ok(Received::Closed { .. }) | Err(_))
}

impl<T: Transport + Unpin, O: SessionEvents + Unpin> Future for Driver<T, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        debug_assert!(!matches!(driver.phase, Phase::Done), "a finished driver is not polled");
        if let Phase::Running = driver.phase {
            driver.run(cx);
        }
        if let Phase::Closing { timeout } = &mut driver.phase {
            let overdue = timeout.as_mut().poll(cx).is_ready();
            if !overdue {
                ready!(driver.close(cx));
            }
            driver.phase = Phase::Done;
        }
        match driver.phase {
            Phase::Done => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl<T: Transport, O: SessionEvents> Drop for Driver<T, O> {
    fn drop(&mut self) {
        let notices = self.shared.end_driver("the session's task was dropped");
        self.report(notices);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use bytes::Bytes;
    use tracing::Span;
    use watertight_core::wire::{Dialect, Encoded};
    use watertight_core::{Role, Session, SessionConfig};

    use super::*;
    use crate::kernel::TcpState;
    use crate::session::Buffers;
    use crate::session::state::TRANSMIT_BATCH;
    use crate::sync::Clock;

    /// A transport that accepts everything and delivers nothing.
    #[derive(Default)]
    struct Sink {
        messages: usize,
        flushes: usize,
    }

    impl Transport for Sink {
        fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<Result<Received, TransportError>> {
            Poll::Pending
        }

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
            Poll::Ready(Ok(()))
        }

        fn send(&mut self, _: Encoded) -> Result<(), TransportError> {
            self.messages += 1;
            Ok(())
        }

        fn tcp(&self) -> Option<TcpState> {
            None
        }

        fn send_ping(&mut self, _: Bytes) -> Result<(), TransportError> {
            Ok(())
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(&mut self, _: &mut Context<'_>, _: &str) -> Poll<Result<(), TransportError>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Silent;

    impl SessionEvents for Silent {
        fn on_event(&mut self, _: &Arc<Shared>, _: Event) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_locks_once_for_each_batch_and_yields_at_most_once() {
        let (clock, config) = (Clock::start(), SessionConfig::default());
        let core = Session::new(clock.now(), Role::Connector, Dialect::Extended, config);
        let shared = Shared::new(clock, core, Span::none(), Arc::default(), &Buffers::default());
        let mut driver = Driver::new(Arc::clone(&shared), Sink::default(), Silent);
        let poll = |driver: &mut Driver<Sink, Silent>| {
            let before = shared.locks.load(Ordering::Relaxed);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            assert!(Pin::new(driver).poll(&mut cx).is_pending());
            shared.locks.load(Ordering::Relaxed) - before
        };
        // Settings and a ping; then nothing.
        let locks: usize = (0..4).map(|_| poll(&mut driver)).sum();
        assert_eq!((locks, driver.transport.messages), (4, 2));
        let flushes = driver.transport.flushes;
        for _ in 0..3 * TRANSMIT_BATCH {
            let dial = |core: &mut Session, now| core.open(now, "tcp/a:1", None);
            driver.shared.command(dial).unwrap();
        }
        let mut locks = Vec::new();
        while driver.transport.messages < 2 + 3 * TRANSMIT_BATCH {
            locks.push(poll(&mut driver));
        }
        // A batch each, and a check whether there are more; possibly a yield before.
        assert_eq!(locks.pop(), Some(4));
        assert!(locks.is_empty() || locks == [1], "{locks:?}");
        assert!(driver.transport.flushes <= flushes + 2, "one system call for all of it");
    }
}
