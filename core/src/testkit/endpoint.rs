//! A session with its application, which knows what it did and which events it received.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::{Item, Side};
use crate::session::{OpenError, ReadError, WriteError};
use crate::wire::{Dialect, GoAwayCode, ResetCode};
use crate::{Cause, ConnectionId, Event, Instant, ReadEnd, Session, SessionConfig};

/// The target of every dial.
pub const TARGET: &str = "tcp/a:1";

/// What an application knows of one connection. It repeats a blocked call only after its event, so
/// an event that is missing is a hang.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Handle {
    /// When the own dial must have an answer.
    pub deadline: Option<Instant>,
    /// The remote dialled, and waits for the answer.
    pub unanswered: bool,
    /// The dial succeeded.
    pub opened: bool,
    /// Bytes that the session took.
    pub wrote: usize,
    /// Bytes that the session gave.
    pub read: usize,
    /// The application finished its direction.
    pub finished: bool,
    /// The application reset or refused the connection: unread bytes are lost.
    pub aborted: bool,
    /// The application gave the handle back.
    pub released: bool,
    /// A write was blocked, and no event has followed.
    pub write_blocked: bool,
    /// A read was blocked, and no event has followed.
    pub read_blocked: bool,
    /// A read returned the end of the remote's direction.
    pub end_of_file: bool,
    /// The last event.
    pub retired: Option<Retired>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retired {
    /// Why.
    pub cause: Cause,
    /// Whether the application read every byte of the remote.
    pub complete: bool,
}

impl Handle {
    /// Whether the application still has it.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        !self.released && !self.aborted && self.retired.is_none()
    }

    /// Keeps what the remote's bytes are compared with: nothing else matters any more.
    fn retire(&mut self, retired: Retired) {
        assert!(self.retired.is_none(), "retired twice");
        self.retired = Some(retired);
        self.deadline = None;
        (self.unanswered, self.write_blocked, self.read_blocked) = (false, false, false);
    }
}

/// The connections of an application, by their ids: there are few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct App {
    handles: Vec<(ConnectionId, Handle)>,
    /// The session has ended.
    pub closed: bool,
    /// The application drained the session.
    pub drained: bool,
}

impl App {
    /// Every connection there was.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Handle)> {
        self.handles.iter().map(|(id, handle)| (*id, handle))
    }

    /// The connections whose handles the application has.
    pub fn held(&self) -> impl Iterator<Item = (ConnectionId, &Handle)> {
        self.iter().filter(|(_, handle)| handle.is_held())
    }

    /// The handle of a connection, if the application knows it.
    #[must_use]
    pub fn get(&self, id: ConnectionId) -> Option<&Handle> {
        self.iter().find_map(|(of, handle)| (of == id).then_some(handle))
    }

    /// The handle of a connection that the application knows.
    ///
    /// # Panics
    /// It does not.
    pub fn handle(&mut self, id: ConnectionId) -> &mut Handle {
        let handle = self.handles.iter_mut().find(|(of, _)| *of == id);
        let Some((_, handle)) = handle else { panic!("{id} is unknown to the application") };
        handle
    }

    fn add(&mut self, id: ConnectionId, handle: Handle) {
        let position = self.handles.binary_search_by_key(&id, |(of, _)| *of);
        let Err(position) = position else { panic!("{id} is opened twice") };
        self.handles.insert(position, (id, handle));
    }

    fn on_event(&mut self, event: &Event) {
        match *event {
            Event::Incoming { id, .. } => {
                self.add(id, Handle { unanswered: true, ..Handle::default() });
            }
            Event::Opened(id) => {
                let handle = self.live(id);
                assert!(!handle.opened && !handle.unanswered, "{id} opened twice");
                (handle.opened, handle.deadline) = (true, None);
            }
            Event::Readable(id) | Event::Ended(id) => self.live(id).read_blocked = false,
            Event::Writable(id) => self.live(id).write_blocked = false,
            Event::Retired { id, ref end } => {
                let retired = Retired { cause: end.cause, complete: end.complete };
                self.handle(id).retire(retired);
            }
            Event::Closed(_) => {
                assert!(!self.closed, "closed twice");
                self.closed = true;
            }
            _ => {}
        }
    }

    /// No event of a connection follows its last one.
    fn live(&mut self, id: ConnectionId) -> &mut Handle {
        let handle = self.handle(id);
        assert!(handle.retired.is_none(), "{id}: an event after the last one");
        handle
    }
}

/// A session with its application. The application processes each event at once, because it may act
/// at any later moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Which end it is.
    pub side: Side,
    /// The session.
    pub session: Session,
    /// Its application.
    pub app: App,
    /// Whether the transport has not ended, as far as this end knows.
    pub joined: bool,
    /// Every event, where they are recorded.
    pub events: Option<Vec<Event>>,
}

impl Endpoint {
    /// An end whose transport has just been established.
    #[must_use]
    pub fn new(now: Instant, side: Side, dialect: Dialect, config: SessionConfig) -> Self {
        let session = Session::new(now, side.role(), dialect, config);
        Self { side, session, app: App::default(), joined: true, events: None }
    }

    /// Whether an item that arrives has an effect.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.joined && self.session.ended().is_none()
    }

    /// Whether it does nothing any more.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.joined && self.app.held().next().is_none()
    }

    /// Hands the session's events to the application.
    pub fn notice(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.app.on_event(&event);
            if let Some(events) = &mut self.events {
                events.push(event);
            }
        }
    }

    /// Dials.
    ///
    /// # Errors
    /// Those of the session.
    pub fn open(&mut self, now: Instant, within: Duration) -> Result<ConnectionId, OpenError> {
        let opened = self.session.open(now, TARGET, Some(within));
        if let Ok(id) = opened {
            let deadline = Some(now + within);
            self.app.add(id, Handle { deadline, ..Handle::default() });
        }
        self.notice();
        opened
    }

    /// Accepts a dial that waits for an answer.
    pub fn accept(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.accept(now, id), Ok(()));
        let handle = self.app.handle(id);
        (handle.unanswered, handle.opened) = (false, true);
        self.notice();
    }

    /// Refuses a dial that waits for an answer.
    pub fn refuse(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.refuse(now, id, ResetCode::DIAL_REFUSED, "refused"), Ok(()));
        let handle = self.app.handle(id);
        (handle.unanswered, handle.aborted) = (false, true);
        self.notice();
        self.assert_retired(id);
    }

    /// Writes up to `length` bytes; how many the session took.
    pub fn write(&mut self, now: Instant, id: ConnectionId, length: usize) -> usize {
        let handle = self.app.handle(id);
        let mut data = Bytes::from(pattern(id, self.side, handle.wrote, length));
        let written = match self.session.write(now, id, &mut data) {
            Ok(taken) => {
                assert_eq!((taken > 0, data.len()), (true, length - taken), "{id}: taken");
                handle.wrote += taken;
                taken
            }
            Err(WriteError::Blocked) => {
                handle.write_blocked = true;
                0
            }
            // Its events follow.
            Err(WriteError::Ended(_)) => 0,
            Err(error) => panic!("write on {id}: {error}"),
        };
        self.notice();
        written
    }

    /// Reads up to `max` bytes and compares them; how many there were.
    pub fn read(&mut self, now: Instant, id: ConnectionId, max: usize) -> usize {
        let handle = self.app.handle(id);
        let read = match self.session.read(now, id, max) {
            Ok(data) => {
                assert!(data.len() <= max, "{id}: more than was asked for");
                let expected = pattern(id, self.side.other(), handle.read, data.len());
                assert!(*data == *expected, "{id}: wrong bytes from {} on", handle.read);
                handle.read += data.len();
                handle.end_of_file |= data.is_empty();
                data.len()
            }
            Err(ReadError::Blocked) => {
                handle.read_blocked = true;
                0
            }
            Err(error) => panic!("read on {id}: {error}"),
        };
        self.notice();
        read
    }

    /// Finishes, which fails before the dial succeeded and after the connection was cut off.
    pub fn finish(&mut self, now: Instant, id: ConnectionId) {
        let may = self.app.handle(id).opened && !self.is_cut_off(id);
        let finished = self.session.finish(now, id).is_ok();
        assert_eq!(finished, may, "{id} finishes");
        self.app.handle(id).finished |= finished;
        self.notice();
    }

    /// Resets the connection.
    pub fn reset(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.reset(now, id, ResetCode::CANCELLED, "reset"), Ok(()));
        self.app.handle(id).aborted = true;
        self.notice();
        // It lingers only for the bytes that were written before, or the Finish.
        if !self.is_cut_off(id) {
            self.assert_retired(id);
        }
    }

    /// Gives the handle back.
    pub fn release(&mut self, now: Instant, id: ConnectionId) {
        self.session.release(now, id);
        self.app.handle(id).released = true;
        self.notice();
    }

    /// Drains the session.
    pub fn drain(&mut self, now: Instant, within: Duration) {
        self.session.drain(now, "drained", within);
        self.app.drained = true;
        self.notice();
    }

    /// Closes the session.
    pub fn close(&mut self, now: Instant) {
        self.session.close(now, GoAwayCode::SHUTDOWN, "closed");
        self.notice();
    }

    /// Closes the session by force.
    pub fn force_close(&mut self, now: Instant) {
        self.session.force_close(now);
        self.notice();
    }

    /// The transport ends, as this end sees it.
    pub fn lose(&mut self, now: Instant) {
        self.receive(now, Item::End);
    }

    /// Time has passed.
    pub fn expire(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        self.notice();
    }

    /// The next item that the transport takes.
    pub fn transmit(&mut self, now: Instant) -> Option<Item> {
        let item = super::transmit(&mut self.session, now);
        self.notice();
        item
    }

    /// Receives an item, and returns the answer of the transport.
    pub fn receive(&mut self, now: Instant, item: Item) -> Option<Item> {
        self.joined &= item != Item::End;
        let answer = super::receive(&mut self.session, now, item);
        self.notice();
        answer
    }

    fn is_cut_off(&self, id: ConnectionId) -> bool {
        self.session.read_end(id) == Some(ReadEnd::CutOff)
    }

    fn assert_retired(&self, id: ConnectionId) {
        let retired = self.app.get(id).is_some_and(|handle| handle.retired.is_some());
        assert!(retired, "{id} outlives its end");
    }
}

/// Bytes that follow from the connection, the direction and the position, so that a byte of another
/// stream or position shows.
fn pattern(id: ConnectionId, from: Side, start: usize, length: usize) -> Vec<u8> {
    let stream = id.get().unsigned_abs() * 2 + u64::from(from == Side::Agent);
    let byte = |position: u64| {
        let mixed = (stream << 40 | position).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let [high, _, _, low, ..] = mixed;
        high ^ low
    };
    (start as u64..).take(length).map(byte).collect()
}
