//! An end whose session a test uses directly.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use watertight_core::session::{ReadError, WriteError};
use watertight_core::testkit::{Item, receive, transmit};
use watertight_core::wire::Dialect;
use watertight_core::{
    Cause, ConnectionEnd, ConnectionId, Event, Instant, Role, Session, SessionConfig, SessionEnd,
};

/// A session, its events, and the items in flight to it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) events: Vec<Event>,
    pub(crate) retired: BTreeMap<ConnectionId, ConnectionEnd>,
    pub(crate) closed: Option<SessionEnd>,
    pub(crate) inbox: VecDeque<Item>,
    /// Whether the transport takes what this end sends.
    pub(crate) takes: bool,
}

impl End {
    pub(crate) fn new(now: Instant, role: Role, dialect: Dialect, config: SessionConfig) -> Self {
        Self {
            session: Session::new(now, role, dialect, config),
            events: Vec::new(),
            retired: BTreeMap::new(),
            closed: None,
            inbox: VecDeque::new(),
            takes: true,
        }
    }

    /// Takes the events over, and checks what holds of them at any time.
    pub(crate) fn poll_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.on_event(&event);
            self.events.push(event);
        }
        self.session.check();
        let ledger = self.session.ledger();
        assert_eq!(ledger.removed.total(), self.retired.len() as u64, "one Retired for each row");
        assert_eq!(self.closed.as_ref(), self.session.ended(), "one Closed for the session");
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Retired { id, end } => {
                let before = self.retired.insert(*id, end.clone());
                assert_eq!(before, None, "{id} retired twice");
            }
            Event::Closed(end) => {
                let before = self.closed.replace(end.clone());
                assert_eq!(before, None, "closed twice");
            }
            Event::Incoming { id, .. }
            | Event::Opened(id)
            | Event::Readable(id)
            | Event::Writable(id)
            | Event::Ended(id) => {
                assert!(!self.retired.contains_key(id), "{event:?} after Retired");
            }
            _ => {}
        }
    }

    /// The next item that the transport takes.
    pub(crate) fn transmit(&mut self, now: Instant) -> Option<Item> {
        if !self.takes {
            return None;
        }
        let item = transmit(&mut self.session, now);
        self.poll_events();
        item
    }

    /// Hands the session what arrived; the answer is what its transport itself sends back.
    pub(crate) fn take(&mut self, now: Instant, item: Item) -> Option<Item> {
        let answer = receive(&mut self.session, now, item);
        self.poll_events();
        answer
    }

    pub(crate) fn write(&mut self, now: Instant, id: ConnectionId, data: &[u8]) -> usize {
        let written = self.session.write(now, id, &mut Bytes::copy_from_slice(data));
        self.poll_events();
        match written {
            Ok(written) => written,
            Err(WriteError::Blocked) => 0,
            Err(error) => panic!("write on {id}: {error}"),
        }
    }

    /// Everything that can be read now, without waiting.
    pub(crate) fn read(&mut self, now: Instant, id: ConnectionId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.session.read(now, id, 16 * 1024) {
                Ok(data) if !data.is_empty() => all.extend_from_slice(&data),
                Ok(_) | Err(_) => break,
            }
        }
        self.poll_events();
        all
    }

    /// Whether the remote's direction is finished and read to its end, by a read or by the last
    /// event.
    pub(crate) fn at_end_of_file(&mut self, now: Instant, id: ConnectionId) -> bool {
        let read = self.session.read(now, id, 1024);
        self.poll_events();
        match read {
            Ok(data) => data.is_empty(),
            Err(ReadError::Unknown) => self.retired[&id].complete,
            Err(_) => false,
        }
    }

    pub(crate) fn release(&mut self, now: Instant, id: ConnectionId) {
        self.session.release(now, id);
        self.poll_events();
    }

    pub(crate) fn finish(&mut self, now: Instant, id: ConnectionId) {
        self.session.finish(now, id).unwrap();
        self.poll_events();
    }

    pub(crate) fn cause(&self, id: ConnectionId) -> Option<Cause> {
        self.retired.get(&id).map(|end| end.cause)
    }

    /// How often an event was seen.
    pub(crate) fn count(&self, event: &Event) -> usize {
        self.events.iter().filter(|seen| *seen == event).count()
    }

    pub(crate) fn assert_quiet(&self) {
        let ledger = self.session.ledger();
        assert!(ledger.is_quiet(), "{ledger}");
    }

    pub(crate) fn assert_even(&self) {
        let ledger = self.session.ledger();
        assert!(ledger.is_settled(), "{ledger}");
    }
}
