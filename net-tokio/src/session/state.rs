//! What the lock of a session guards: the core session, and the wakers of its users.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use tokio::time::Instant;
use watertight_core::wire::Dialect;
use watertight_core::{ConnectionEnd, ConnectionId, Event, Ledger, Session, Transmit};

use super::turn::{After, Input, Notice, Output, Turn};
use crate::metrics::Meter;
use crate::transport::{Received, TransportError};

/// The core session, and who waits for what.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Session,
    handles: BTreeMap<ConnectionId, Handle>,
    driver: Option<Waker>,
    /// Tasks to wake when the lock is released.
    wakers: Wakers,
    driver_is_due: bool,
    notices: VecDeque<Notice>,
    meter: Meter,
}

/// What the adapter keeps of a connection for as long as the application holds it.
#[derive(Debug, Default)]
pub(crate) struct Handle {
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    pub(crate) opened: bool,
    /// How it ended, once it has left the core's table.
    pub(crate) end: Option<ConnectionEnd>,
    pub(crate) read_deadline: Option<Instant>,
    pub(crate) write_deadline: Option<Instant>,
    /// The client that was dialled through a peer, until the peer is known to have it.
    pub(crate) client: Option<Box<str>>,
}

impl Handle {
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

    /// Everything that a turn of the driver does with the session: input, output, time and events.
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

    /// Fills the batch, if the transport takes it. `true` if the session may have more.
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

    /// Hands the core's events to the tasks that wait for them.
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
            Event::Ended(id) => self.with_handle(id, Handle::wake_both),
            Event::Retired { id, end } => self.on_retired(id, end),
            event => self.notices.push_back(Notice::Event(event)),
        }
    }

    fn on_retired(&mut self, id: ConnectionId, end: ConnectionEnd) {
        let Some(handle) = self.handles.get_mut(&id) else { return };
        if let Some(client) = handle.client.take() {
            self.notices.push_back(Notice::ClientDialEnded { client, end: end.clone() });
        }
        handle.end = Some(end);
        handle.wake_both(&mut self.wakers);
    }

    fn with_handle(&mut self, id: ConnectionId, act: impl FnOnce(&mut Handle, &mut Wakers)) {
        if let Some(handle) = self.handles.get_mut(&id) {
            act(handle, &mut self.wakers);
        }
    }

    pub(crate) fn add_handle(&mut self, id: ConnectionId) {
        self.handles.insert(id, Handle::default());
    }

    pub(crate) fn remove_handle(&mut self, id: ConnectionId) -> Option<Handle> {
        self.handles.remove(&id)
    }

    /// Connections that the application holds.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn handles(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn handle(&mut self, id: ConnectionId) -> Option<&mut Handle> {
        self.handles.get_mut(&id)
    }

    /// Reports to the metrics; the session's ledger.
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

    /// The driver ends: the notices that it has not passed on.
    pub(super) fn end_driver(&mut self) -> VecDeque<Notice> {
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

/// Tasks to wake, which happens when it is dropped: outside the lock, which they would have to wait
/// for, and which a waker may need for its own clean-up.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    /// Mostly there is one, which then needs no allocation.
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
