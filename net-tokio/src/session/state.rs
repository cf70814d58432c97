//! The state behind a session's lock: the core session, the wakers of its users, and a turn of the
//! driver.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use tokio::time::Instant;
use watertight_core::wire::Dialect;
use watertight_core::{ConnectionEnd, ConnectionId, Event, Ledger, Session, Transmit};

use crate::metrics::Meter;
use crate::transport::{Received, TransportError};

/// Messages of one batch, which is taken from the session under one lock.
pub(super) const TRANSMIT_BATCH: usize = 16;

/// The same in bytes.
const TRANSMIT_BYTES: usize = 64 << 10;

/// The input of a turn.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) received: Vec<Result<Received, TransportError>>,
    /// Nothing more can be sent, and everything that had arrived is in `received`.
    pub(super) failed: Option<TransportError>,
    /// A deadline has passed. Only then is the kernel asked for the transport's progress.
    pub(super) progress: Option<Progress>,
}

/// The times at which bytes last moved in the kernel's queues. They are later than the session's
/// own times while a transport sends or receives parts of a long message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) received: Option<watertight_core::Instant>,
    pub(super) sent: Option<watertight_core::Instant>,
}

/// The output of a turn.
#[derive(Debug)]
pub(super) struct Output<'a> {
    /// Whether the transport accepts a batch.
    pub(super) writable: bool,
    /// `None` if a yield cannot pay.
    pub(super) coalescer: Option<&'a mut Coalescer>,
    batch: &'a mut Vec<Transmit>,
    bytes: usize,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        writable: bool,
        coalescer: Option<&'a mut Coalescer>,
        batch: &'a mut Vec<Transmit>,
    ) -> Self {
        Self { writable, coalescer, batch, bytes: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= TRANSMIT_BATCH || self.bytes >= TRANSMIT_BYTES
    }

    pub(super) fn push(&mut self, transmit: Transmit) {
        debug_assert!(self.writable, "a batch is only filled for a writable transport");
        if let Transmit::Message(message) = &transmit {
            self.bytes += message.len();
        }
        self.batch.push(transmit);
    }
}

/// Notices of the driver to the session's [`SessionEvents`](super::SessionEvents), in order.
#[derive(Debug)]
pub(super) enum Notice {
    Event(Event),
    ClientDialEnded { client: Box<str>, end: ConnectionEnd },
}

/// The result of a turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) notices: VecDeque<Notice>,
    pub(super) timeout: Option<watertight_core::Instant>,
    pub(super) after: After,
}

/// The state after a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct After {
    /// Whether the session may have more to send.
    pub(super) more: bool,
    pub(super) ended: bool,
    /// Whether nothing is queued for the transport.
    pub(super) idle: bool,
}

/// The most sends without a yield, after several yields have joined nothing.
const MAX_PAUSES: u32 = 63;

/// Whether to yield once before flushing. tokio's LIFO slot polls the driver right after the task
/// that woke it; without yielding, each small message costs a `write`.
///
/// A yield costs as much as the wake-up of a thread. So yields continue while they join messages,
/// and become rare otherwise.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    /// The bytes and messages that were queued before the yield.
    before: Option<u64>,
    /// Sends without a yield after one that joined nothing, and how many of them are left.
    pauses: u32,
    left: u32,
}

impl Coalescer {
    /// Whether to yield before `queued` is sent. The next call after a yield returns `false`.
    pub(super) fn yields(&mut self, queued: u64) -> bool {
        if let Some(before) = self.before.take() {
            let paid = queued > before;
            self.pauses = if paid { 0 } else { (2 * self.pauses + 1).min(MAX_PAUSES) };
            self.left = self.pauses;
            return false;
        }
        debug_assert!(self.left <= self.pauses, "a pause only gets shorter");
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        self.before = Some(queued);
        true
    }
}

/// The core session, and the wakers of its users.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Session,
    handles: BTreeMap<ConnectionId, HandleState>,
    driver: Option<Waker>,
    /// Tasks to wake when the lock is released.
    wakers: Wakers,
    driver_is_due: bool,
    notices: VecDeque<Notice>,
    meter: Meter,
}

/// The adapter's part of a connection, kept until the application drops the stream.
#[derive(Debug, Default)]
pub(crate) struct HandleState {
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) opened: bool,
    /// Why it ended, once it has left the core's table.
    pub(crate) end: Option<ConnectionEnd>,
    pub(crate) read_deadline: Option<Instant>,
    pub(crate) write_deadline: Option<Instant>,
    /// The client that was dialled through a peer, until the peer is known to have it.
    pub(crate) client: Option<Box<str>>,
}

impl HandleState {
    fn wake_both(&mut self, wakers: &mut Wakers) {
        wakers.add(self.reader.take());
        wakers.add(self.writer.take());
    }
}

impl State {
    pub(super) fn new(core: Session) -> Self {
        Self {
            core,
            handles: BTreeMap::new(),
            driver: None,
            wakers: Wakers::default(),
            driver_is_due: false,
            notices: VecDeque::new(),
            meter: Meter::default(),
        }
    }

    /// A turn of the driver: input, output, timeouts and events.
    pub(super) fn turn(
        &mut self,
        now: watertight_core::Instant,
        input: Input,
        output: &mut Output<'_>,
    ) -> Turn {
        for received in input.received {
            self.receive(now, received);
        }
        if let Some(error) = input.failed {
            self.core.handle_transport_ended(now, &error.to_string());
        }
        let mut more = self.transmit(now, output);
        if let Some(progress) = input.progress {
            if let Some(at) = progress.received {
                self.core.handle_transport_received(at);
            }
            if let Some(at) = progress.sent {
                self.core.handle_transport_sent(at);
            }
            self.core.handle_timeout(now);
            more |= self.transmit(now, output);
        }
        debug_assert!(output.batch.len() <= TRANSMIT_BATCH, "a batch is bounded");
        self.dispatch();
        Turn {
            notices: std::mem::take(&mut self.notices),
            timeout: self.core.poll_timeout(),
            after: After {
                more,
                ended: self.core.ended().is_some(),
                idle: !self.core.has_transmit(),
            },
        }
    }

    fn receive(
        &mut self,
        now: watertight_core::Instant,
        received: Result<Received, TransportError>,
    ) {
        let core = &mut self.core;
        match received {
            Ok(Received::Message(message)) => {
                self.meter.received(message.len());
                core.handle_message(now, message);
            }
            Ok(Received::Ping) => core.handle_transport_ping(now),
            Ok(Received::Pong(payload)) => core.handle_transport_pong(now, &payload),
            Ok(Received::Closed { reason }) => core.handle_transport_ended(now, &reason),
            Err(TransportError::Invalid(reason)) => core.handle_invalid_transport(now, &reason),
            Err(TransportError::Io(error)) => {
                core.handle_transport_ended(now, &error.to_string());
            }
        }
    }

    /// Fills the batch, if the transport accepts it. `true` if the session may have more.
    fn transmit(&mut self, now: watertight_core::Instant, output: &mut Output<'_>) -> bool {
        if !output.writable {
            return false;
        }
        if self.core.has_transmit()
            && let Some(coalescer) = output.coalescer.take()
        {
            let ledger = self.core.ledger();
            if coalescer.yields(ledger.bytes_to_send + ledger.queued_control) {
                output.writable = false;
                return true;
            }
        }
        while !output.is_full() {
            let Some(transmit) = self.core.poll_transmit(now) else { return false };
            if let Transmit::Message(message) = &transmit {
                self.meter.sent(message.len());
            }
            output.push(transmit);
        }
        true
    }

    /// Dispatches the core's events to the tasks that wait for them.
    pub(crate) fn dispatch(&mut self) {
        while let Some(event) = self.core.poll_event() {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Incoming { id, .. } => {
                self.add_handle(id);
                self.notices.push_back(Notice::Event(event));
            }
            Event::Opened(id) => {
                // In the base dialect it is no answer.
                let answered = self.core.dialect() == Dialect::Extended;
                self.with_handle(id, |handle, wakers| {
                    debug_assert!(handle.end.is_none(), "a retired connection is not opened");
                    handle.opened = true;
                    handle.client.take_if(|_| answered);
                    handle.wake_both(wakers);
                });
            }
            Event::Readable(id) => {
                self.with_handle(id, |handle, wakers| wakers.add(handle.reader.take()))
            }
            Event::Writable(id) => {
                self.with_handle(id, |handle, wakers| wakers.add(handle.writer.take()))
            }
            Event::Ended(id) => self.with_handle(id, HandleState::wake_both),
            Event::Retired { id, end } => self.on_retired(id, end),
            event => self.notices.push_back(Notice::Event(event)),
        }
    }

    fn on_retired(&mut self, id: ConnectionId, end: ConnectionEnd) {
        let Some(handle) = self.handles.get_mut(&id) else { return };
        if let Some(client) = handle.client.take() {
            self.notices.push_back(Notice::ClientDialEnded { client, end: end.clone() });
        }
        debug_assert!(handle.end.is_none(), "a connection is retired once");
        handle.end = Some(end);
        handle.wake_both(&mut self.wakers);
    }

    fn with_handle(&mut self, id: ConnectionId, act: impl FnOnce(&mut HandleState, &mut Wakers)) {
        if let Some(handle) = self.handles.get_mut(&id) {
            act(handle, &mut self.wakers);
        }
    }

    pub(crate) fn add_handle(&mut self, id: ConnectionId) {
        let before = self.handles.insert(id, HandleState::default());
        debug_assert!(before.is_none(), "the id of a connection is used once");
    }

    pub(crate) fn remove_handle(&mut self, id: ConnectionId) -> Option<HandleState> {
        self.handles.remove(&id)
    }

    /// Connections that the application holds.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn handles(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn handle(&mut self, id: ConnectionId) -> Option<&mut HandleState> {
        self.handles.get_mut(&id)
    }

    /// Updates the metrics. Returns the session's ledger.
    pub(super) fn observe(&mut self) -> &Ledger {
        self.meter.observe(&self.core)
    }

    /// The task to wake when there is something to transmit or a deadline has moved.
    pub(super) fn set_driver(&mut self, waker: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    /// Whether the driver has run and has not ended.
    pub(super) const fn is_driven(&self) -> bool {
        self.driver.is_some()
    }

    pub(crate) fn wake_driver(&mut self) {
        self.driver_is_due = true;
    }

    /// The driver ends. Returns the notices that it has not reported.
    pub(super) fn end_driver(&mut self) -> VecDeque<Notice> {
        debug_assert!(self.core.ended().is_some(), "a session ends with its driver");
        self.driver = None;
        std::mem::take(&mut self.notices)
    }

    /// The tasks to wake once the lock is released.
    pub(super) fn take_wakers(&mut self) -> Wakers {
        if std::mem::take(&mut self.driver_is_due) {
            self.wakers.add(self.driver.clone());
        }
        std::mem::take(&mut self.wakers)
    }
}

/// Tasks to wake, which happens on drop: outside the lock, which the tasks would have to wait for,
/// and which a waker's own drop may need.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    /// Usually there is one, which needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakers {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        if self.first.is_none() {
            self.first = waker;
        } else {
            self.more.extend(waker);
        }
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.first.take().into_iter().chain(self.more.drain(..)).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it yields before each of so many sends, when a yield adds `more`.
    fn sends(coalescer: &mut Coalescer, sends: usize, more: u64) -> Vec<bool> {
        let mut yielded = Vec::new();
        for _ in 0..sends {
            let yields = coalescer.yields(1);
            if yields {
                assert!(!coalescer.yields(1 + more), "it yields for ever");
            }
            yielded.push(yields);
        }
        yielded
    }

    #[test]
    fn yields_continue_while_they_pay() {
        assert_eq!(sends(&mut Coalescer::default(), 5, 1), [true; 5]);
    }

    #[test]
    fn yields_become_rare_while_they_do_not_pay() {
        let mut coalescer = Coalescer::default();
        let yielded = sends(&mut coalescer, 12, 0);
        let (yes, no) = (true, false);
        assert_eq!(yielded, [yes, no, yes, no, no, no, yes, no, no, no, no, no]);
        sends(&mut coalescer, 200, 0);
        let yielded = sends(&mut coalescer, 640, 0);
        assert_eq!(yielded.iter().filter(|yields| **yields).count(), 10);
        let again = sends(&mut coalescer, 65, 1);
        assert!(again.iter().skip(1).any(|yields| *yields));
        assert_eq!(sends(&mut coalescer, 5, 1), [true; 5]);
    }
}
