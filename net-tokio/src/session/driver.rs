//! The one task of a session: carries messages between the core and the transport.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use watertight_core::Transmit;

use super::gather::Gather;
use super::state::{Notice, Shared};
use crate::transport::{Received, Transport, TransportError};

/// How many messages are taken in before the driver looks after its output and lets other tasks
/// run: as much Data as a core's cache still holds when it is read.
const RECEIVE_BUDGET: usize = 16;

/// The same in bytes, after which no further message is begun: some may be long.
const RECEIVE_BYTES: usize = 256 << 10;

/// How many messages are put out before the same.
const TRANSMIT_BUDGET: usize = 256;

/// How many of them are taken from the session at once.
const TRANSMIT_BATCH: usize = 16;

/// The same in bytes.
const TRANSMIT_BYTES: usize = 64 << 10;

/// How long the orderly end of a transport may take. The other end may be gone.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// What the session's owner does with what the driver tells it.
pub(crate) trait Owner: Send + 'static {
    /// Called outside the session's lock, from the driver's task. Must not block.
    /// [`Notice::Closed`] comes exactly once, even if the driver is dropped.
    fn on_notice(&mut self, shared: &Arc<Shared>, notice: Notice);
}

/// Drives a session over a transport until both have ended.
///
/// It knows nothing of the protocol. Dropping it ends the session, and the owner is told in any
/// case.
pub(crate) struct Driver<T: Transport, O: Owner> {
    shared: Arc<Shared>,
    transport: T,
    owner: O,
    timer: Option<Pin<Box<Sleep>>>,
    gather: Gather,
    /// Why nothing more can be sent. What has arrived by then is still taken in.
    broken: Option<TransportError>,
    /// Bytes that the remote's kernel had acknowledged, and that ours had received, at the last look.
    seen: (u64, u64),
    phase: Phase,
}

enum Phase {
    Running,
    /// The session has ended; the farewell and the transport's own end are on their way.
    Closing {
        deadline: Pin<Box<Sleep>>,
    },
    Done,
}

impl<T: Transport, O: Owner> Driver<T, O> {
    pub(crate) fn new(shared: Arc<Shared>, transport: T, owner: O) -> Self {
        Self {
            shared,
            transport,
            owner,
            timer: None,
            gather: Gather::default(),
            broken: None,
            seen: (0, 0),
            phase: Phase::Running,
        }
    }

    /// Takes in what has arrived, up to a budget. `true` if there may be more.
    ///
    /// All of it under one lock: those whom it wakes find everything that came with it, and make
    /// one system call of it.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut more = true;
        while more && batch.len() < RECEIVE_BUDGET && bytes < RECEIVE_BYTES {
            match self.transport.poll_recv(cx) {
                Poll::Pending => more = false,
                Poll::Ready(received) => {
                    bytes += message_length(&received);
                    more = !is_last(&received);
                    batch.push(received);
                }
            }
        }
        if !batch.is_empty() {
            self.take_in(batch);
        }
        more
    }

    fn take_in(&self, batch: Vec<Result<Received, TransportError>>) {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        for received in batch {
            state.meter().received(message_length(&received));
            let core = &mut state.core;
            match received {
                Ok(Received::Message(message)) => core.handle_message(now, message),
                Ok(Received::Ping) => core.handle_transport_ping(now),
                Ok(Received::Pong(payload)) => core.handle_transport_pong(now, &payload),
                Ok(Received::Closed { reason }) => core.handle_transport_ended(now, &reason),
                Err(TransportError::Invalid(reason)) => {
                    core.handle_invalid_transport(now, &reason);
                }
                Err(TransportError::Io(error)) => {
                    core.handle_transport_ended(now, &error.to_string());
                }
            }
        }
        state.dispatch();
    }

    /// Sends, perhaps after others had their turn that may have something to send as well. `true` if
    /// there may be more.
    fn gather_and_transmit(&mut self, cx: &mut Context<'_>) -> bool {
        if self.broken.is_some() {
            return false;
        }
        if self.lets_others_go_first() {
            return true;
        }
        match self.transmit(cx) {
            Ok(more) => more,
            Err(error) => {
                self.broken = Some(error);
                true
            }
        }
    }

    fn lets_others_go_first(&mut self) -> bool {
        let state = self.shared.lock();
        let ledger = state.core.ledger();
        state.core.has_transmit() && self.gather.waits(ledger.bytes_to_send + ledger.queued_control)
    }

    /// Puts out what the transport has room for. `Ok(true)` if there may be more than the budget
    /// allowed.
    fn transmit(&mut self, cx: &mut Context<'_>) -> Result<bool, TransportError> {
        let mut batch = Vec::new();
        let mut budget = TRANSMIT_BUDGET;
        while budget > 0 && self.transport.poll_ready(cx)?.is_ready() {
            self.put_out(&mut batch);
            if batch.is_empty() {
                break;
            }
            budget = budget.saturating_sub(batch.len());
            for transmit in batch.drain(..) {
                match transmit {
                    Transmit::Message(message) => self.transport.send(message)?,
                    Transmit::TransportPing(payload) => self.transport.send_ping(payload)?,
                }
            }
        }
        // Whether it is flushed now or later is the transport's business: it wakes this task.
        let _ = self.transport.poll_flush(cx)?;
        Ok(budget == 0)
    }

    /// Takes a batch of what the session has to send, under one lock. All of it is queued, though
    /// the transport may not have asked for so much.
    fn put_out(&self, batch: &mut Vec<Transmit>) {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let mut bytes = 0;
        while batch.len() < TRANSMIT_BATCH && bytes < TRANSMIT_BYTES {
            let Some(transmit) = state.core.poll_transmit(now) else { break };
            if let Transmit::Message(message) = &transmit {
                bytes += message.len();
                state.meter().sent(message.len());
            }
            batch.push(transmit);
        }
        state.dispatch();
    }

    /// A transport that cannot be written may have received the remote's last messages before: they
    /// are taken in first.
    fn end_if_broken(&mut self, more_in: bool) {
        if let Some(error) = self.broken.take_if(|_| !more_in) {
            self.transport_failed(&error);
        }
    }

    fn transport_failed(&self, error: &TransportError) {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        state.core.handle_transport_ended(now, &error.to_string());
        state.dispatch();
    }

    /// A timer is due: what its owner waits for may be under way in the kernel's queues. It counts from
    /// when it moved, not from when it is looked for.
    fn note_progress(&mut self) {
        let Some(state) = self.transport.tcp() else { return };
        let before = std::mem::replace(&mut self.seen, (state.acked, state.received));
        let now = self.shared.clock.now();
        let mut locked = self.shared.lock();
        if state.received > before.1 {
            locked.core.handle_transport_received(now - state.received_ago);
        }
        if state.acked > before.0 && state.unacked {
            locked.core.handle_transport_sent(now - state.silent_for);
        }
    }

    /// Lets the session's time pass and waits for its next deadline. `true` if it has come.
    fn keep_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(at) = self.shared.lock().core.poll_timeout() else {
            self.timer = None;
            return false;
        };
        let now = self.shared.clock.now();
        if at <= now {
            self.note_progress();
            let mut state = self.shared.lock();
            state.core.handle_timeout(now);
            state.dispatch();
            return true;
        }
        self.wait_until(self.shared.clock.to_tokio(at), cx)
    }

    fn wait_until(&mut self, at: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    fn pass_on_notices(&mut self) {
        loop {
            let notice = self.shared.lock().take_notice();
            match notice {
                Some(notice) => self.owner.on_notice(&self.shared, notice),
                None => return,
            }
        }
    }

    fn run(&mut self, cx: &mut Context<'_>) {
        self.shared.lock().set_driver(cx.waker());
        let more_in = self.receive(cx);
        self.end_if_broken(more_in);
        let more_out = self.gather_and_transmit(cx);
        let due = self.keep_time(cx);
        self.pass_on_notices();
        self.shared.observe();
        if more_in || more_out || due {
            cx.waker().wake_by_ref();
        }
        if self.shared.lock().core.ended().is_some() {
            let deadline = Box::pin(tokio::time::sleep(CLOSE_DEADLINE));
            self.phase = Phase::Closing { deadline };
            cx.waker().wake_by_ref();
        }
    }

    /// Sends the farewell and closes the transport, for as long as that is allowed to take.
    fn close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.transmit(cx) {
            Err(_) => return Poll::Ready(()),
            Ok(true) => cx.waker().wake_by_ref(),
            Ok(false) => {}
        }
        let reason = match self.shared.lock().core.ended() {
            Some(end) => end.to_string(),
            None => String::new(),
        };
        let farewell_queued = self.shared.lock().core.has_transmit();
        if farewell_queued {
            return Poll::Pending;
        }
        // An error here means that there is nothing left to close.
        self.transport.poll_close(cx, &reason).map(drop)
    }
}

fn message_length(received: &Result<Received, TransportError>) -> usize {
    match received {
        Ok(Received::Message(message)) => message.len(),
        _ => 0,
    }
}

/// Whether the transport gives nothing more after it.
const fn is_last(received: &Result<Received, TransportError>) -> bool {
    matches!(received, Ok(Received::Closed { .. }) | Err(_))
}

impl<T: Transport + Unpin, O: Owner + Unpin> Future for Driver<T, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        if let Phase::Running = driver.phase {
            driver.run(cx);
        }
        if let Phase::Closing { deadline } = &mut driver.phase {
            let overdue = deadline.as_mut().poll(cx).is_ready();
            if !overdue {
                ready!(driver.close(cx));
            }
            driver.pass_on_notices();
            driver.phase = Phase::Done;
        }
        match driver.phase {
            Phase::Done => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl<T: Transport, O: Owner> Drop for Driver<T, O> {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        state.core.handle_transport_ended(now, "the session's task was dropped");
        state.dispatch();
        state.forget_driver();
        drop(state);
        self.shared.observe();
        self.pass_on_notices();
    }
}
