//! A session with its application: what each of its actions does at this end.

use bytes::Bytes;
use watertight_core::session::{OpenError, ReadError, WriteError};
use watertight_core::wire::{Dialect, GoAwayCode, ResetCode};
use watertight_core::{ConnectionId, Instant, Session, Transmit};

use super::app::{App, Handle};
use super::bounds::{Bounds, DIAL, DRAIN, READ, WRITE};
use super::pipe::Item;
use super::side::Side;

const TARGET: &str = "tcp/a:1";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct End {
    pub(super) side: Side,
    pub(super) session: Session,
    pub(super) app: App,
    /// The transport is there, as far as this end can tell.
    pub(super) joined: bool,
}

impl End {
    /// An end as it is when its transport has just been established, with its first ping due.
    pub(super) fn new(now: Instant, side: Side, bounds: &Bounds) -> Self {
        let session = Session::new(now, side.role(), bounds.dialect, bounds.config());
        let mut end = Self { side, session, app: App::default(), joined: true };
        end.expire(now);
        end
    }

    /// Whether what arrives makes a difference.
    pub(super) fn hears(&self) -> bool {
        self.joined && self.session.ended().is_none()
    }

    /// Whether it does nothing any more.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.joined && self.app.held().next().is_none()
    }

    /// Lets the application see its events. It acts at any later moment, so it need not see them
    /// later, too.
    fn notice(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.app.on_event(event);
        }
    }

    pub(super) fn open(&mut self, now: Instant) {
        let within = DIAL;
        match self.session.open(now, TARGET, Some(within)) {
            Ok(id) => {
                let deadline = Some(now + within);
                self.app.add(id, Handle { deadline, ..Handle::default() });
            }
            Err(OpenError::TooManyConnections(_) | OpenError::TooManyDials(_)) => {}
            Err(error) => panic!("nothing stands against a dial: {error}"),
        }
        self.notice();
    }

    pub(super) fn accept(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.accept(now, id), Ok(()));
        let handle = self.app.handle(id);
        (handle.unanswered, handle.opened) = (false, true);
        self.notice();
    }

    pub(super) fn refuse(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.refuse(now, id, ResetCode::DIAL_REFUSED, "refused"), Ok(()));
        let handle = self.app.handle(id);
        (handle.unanswered, handle.aborted) = (false, true);
        self.notice();
        self.assert_retired(id);
    }

    pub(super) fn write(&mut self, now: Instant, id: ConnectionId) {
        let (handle, length) = (self.app.handle(id), usize::from(WRITE));
        let mut data = Bytes::from(pattern(id, self.side, handle.wrote, length));
        match self.session.write(now, id, &mut data) {
            Ok(taken) => {
                assert_eq!((taken > 0, data.len()), (true, length - taken), "{id}: taken");
                handle.wrote += u16::try_from(taken).unwrap_or(u16::MAX);
            }
            Err(WriteError::Blocked) => handle.write_blocked = true,
            // It reads what is left.
            Err(WriteError::Ended(_)) => {}
            Err(error) => panic!("write on {id}: {error}"),
        }
        self.notice();
    }

    pub(super) fn read(&mut self, now: Instant, id: ConnectionId) {
        let handle = self.app.handle(id);
        match self.session.read(now, id, READ) {
            Ok(data) if data.is_empty() => handle.end_of_file = true,
            Ok(data) => {
                assert!(data.len() <= READ, "{id}: more than was asked for");
                let expected = pattern(id, self.side.other(), handle.read, data.len());
                assert!(*data == *expected, "{id}: wrong bytes from {} on", handle.read);
                handle.read += u16::try_from(data.len()).unwrap_or(u16::MAX);
            }
            Err(ReadError::Blocked) => handle.read_blocked = true,
            Err(error) => panic!("read on {id}: {error}"),
        }
        self.notice();
    }

    pub(super) fn finish(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.finish(now, id), Ok(()));
        self.app.handle(id).finished = true;
        self.notice();
    }

    pub(super) fn reset(&mut self, now: Instant, id: ConnectionId) {
        assert_eq!(self.session.reset(now, id, ResetCode::CANCELLED, "reset"), Ok(()));
        self.app.handle(id).aborted = true;
        self.notice();
        // It lingers for no other reason than what was written, or finished, before.
        if self.session.read_end(id) != Some(watertight_core::ReadEnd::CutOff) {
            self.assert_retired(id);
        }
    }

    pub(super) fn release(&mut self, now: Instant, id: ConnectionId) {
        self.session.release(now, id);
        self.app.handle(id).released = true;
        self.notice();
    }

    pub(super) fn drain(&mut self, now: Instant) {
        self.session.drain(now, "drained", DRAIN);
        self.app.drained = true;
        self.notice();
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.session.close(now, GoAwayCode::SHUTDOWN, "closed");
        self.notice();
    }

    pub(super) fn abandon(&mut self, now: Instant) {
        self.session.force_close(now);
        self.notice();
    }

    /// The transport ends, as this end sees it.
    pub(super) fn lose(&mut self, now: Instant) {
        self.session.handle_transport_ended(now, "lost");
        self.joined = false;
        self.notice();
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        self.notice();
    }

    /// What the transport takes next.
    pub(super) fn transmit(&mut self, now: Instant) -> Option<Item> {
        let transmit = self.session.poll_transmit(now);
        self.notice();
        Some(match transmit? {
            Transmit::Message(message) => Item::Message(message.to_bytes()),
            Transmit::TransportPing(payload) => Item::Ping(payload),
        })
    }

    /// Takes in what arrived; what the transport itself answers is returned.
    pub(super) fn take(&mut self, now: Instant, item: Item) -> Option<Item> {
        let mut answer = None;
        match item {
            Item::Message(message) => self.session.handle_message(now, message),
            Item::Ping(payload) => {
                self.session.handle_transport_ping(now);
                answer = Some(Item::Pong(payload));
            }
            Item::Pong(payload) => self.session.handle_transport_pong(now, &payload),
            Item::End => self.lose(now),
        }
        self.notice();
        answer
    }

    pub(super) fn extended(&self) -> bool {
        self.session.dialect() == Dialect::Extended
    }

    fn assert_retired(&self, id: ConnectionId) {
        let retired = self.app.get(id).is_some_and(|handle| handle.retired.is_some());
        assert!(retired, "{id} outlives its end");
    }
}

/// Bytes that follow from the connection, the direction and the place, so that a byte of another
/// stream or place shows.
fn pattern(id: ConnectionId, from: Side, start: u16, length: usize) -> Vec<u8> {
    let stream = id.get().unsigned_abs() * 2 + u64::from(from == Side::Agent);
    let byte = |place: u64| {
        let mixed = (stream << 40 | place).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let [high, _, _, low, ..] = mixed;
        high ^ low
    };
    (u64::from(start)..).take(length).map(byte).collect()
}
