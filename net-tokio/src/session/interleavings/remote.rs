//! The remote of a session: a core session that a test drives by hand.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use watertight_core::wire::Dialect;
use watertight_core::{ConnectionId, Event, Instant, Role, Session, SessionConfig, Transmit};

use super::Link;
use crate::transport::{Received, Transport};

pub(super) struct Remote {
    core: Session,
    link: Link,
}

impl Remote {
    pub(super) fn new(link: Link, config: SessionConfig) -> Self {
        let core = Session::new(Instant::EPOCH, Role::Acceptor, Dialect::Extended, config);
        Self { core, link }
    }

    /// Waits for an event that matches.
    pub(super) fn wait<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        shuttle::future::block_on(poll_fn(|cx| {
            loop {
                self.transmit();
                while let Some(event) = self.core.poll_event() {
                    if let Some(found) = wanted(&event) {
                        return Poll::Ready(found);
                    }
                }
                if self.receive(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }))
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll_recv(cx).map(|received| match received.unwrap() {
            Received::Message(message) => self.core.handle_message(Instant::EPOCH, message),
            received => panic!("{received:?}"),
        })
    }

    fn transmit(&mut self) {
        while let Some(Transmit::Message(message)) = self.core.poll_transmit(Instant::EPOCH) {
            self.link.send(message).unwrap();
        }
    }

    /// Accepts the next dial.
    pub(super) fn accept(&mut self) -> ConnectionId {
        let id = self.wait(|event| match event {
            Event::Incoming { id, .. } => Some(*id),
            _ => None,
        });
        self.core.accept(Instant::EPOCH, id).unwrap();
        self.transmit();
        id
    }

    pub(super) fn write(&mut self, id: ConnectionId, data: &'static [u8]) {
        let mut data = Bytes::from_static(data);
        self.core.write(Instant::EPOCH, id, &mut data).unwrap();
        assert!(data.is_empty(), "all of it fits");
        self.transmit();
    }

    /// Waits for the end of the remote's direction.
    pub(super) fn read_end(&mut self, id: ConnectionId) {
        while !self.core.read(Instant::EPOCH, id, 1).is_ok_and(|data| data.is_empty()) {
            self.wait(|event| (*event == Event::Readable(id)).then_some(()));
        }
    }

    /// Reads until so many bytes have arrived.
    pub(super) fn read(&mut self, id: ConnectionId, bytes: usize) {
        let mut read = 0;
        while read < bytes {
            match self.core.read(Instant::EPOCH, id, bytes) {
                Ok(data) => read += data.len(),
                Err(_) => self.wait(|event| (*event == Event::Readable(id)).then_some(())),
            }
        }
        self.transmit();
    }
}
