use std::time::Duration;

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::session::{ReadError, WriteError};
use watertight_core::wire::ResetCode;

use super::app::Handle;
use super::operation::Side;
use super::world::World;
use crate::support::TARGET;

/// The byte at a place of a stream: it follows from the connection, the direction and the place,
/// so that a byte of another stream or place shows.
fn byte(id: ConnectionId, from: Side, place: usize) -> u8 {
    let stream = id.get().unsigned_abs() * 2 + u64::from(from == Side::Agent);
    let mixed = (stream << 40 | place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8 ^ (mixed >> 33) as u8
}

fn bytes(id: ConnectionId, from: Side, start: usize, length: usize) -> Vec<u8> {
    (start..start + length).map(|place| byte(id, from, place)).collect()
}

impl World {
    pub(crate) fn picked(
        &mut self,
        side: Side,
        which: u8,
        act: impl FnOnce(&mut Self, ConnectionId),
    ) {
        if let Some(id) = self.view(side).app.pick(which) {
            act(self, id);
            self.notice(side);
        }
    }

    pub(crate) fn connect(&mut self, side: Side) {
        let Some(id) = self.open(side, u16::MAX) else { return };
        self.flow();
        if self.view(side.other()).app.handles.get(&id).is_some_and(|handle| handle.unanswered) {
            self.accept(side.other(), id);
            self.flow();
        }
    }

    pub(crate) fn open(&mut self, side: Side, within: u16) -> Option<ConnectionId> {
        let now = self.now;
        let within = Duration::from_millis(within.into());
        let party = self.party(side);
        let id = party.end.session.open(now, TARGET, Some(within)).ok();
        if let Some(id) = id {
            let handle = Handle { deadline: Some(now + within), ..Handle::default() };
            assert!(party.app.handles.insert(id, handle).is_none(), "{id} allotted twice");
        }
        self.notice(side);
        id
    }

    pub(crate) fn answer(&mut self, side: Side, which: u8, accept: bool) {
        let app = &self.view(side).app;
        let waiting = |id: &ConnectionId| app.handles[id].unanswered;
        let waiting: Vec<_> = app.held().into_iter().filter(waiting).collect();
        let Some(place) = usize::from(which).checked_rem(waiting.len()) else { return };
        if accept {
            self.accept(side, waiting[place]);
        } else {
            self.refuse(side, waiting[place]);
        }
    }

    pub(crate) fn accept(&mut self, side: Side, id: ConnectionId) {
        let now = self.now;
        let party = self.party(side);
        party.end.session.accept(now, id).unwrap();
        let handle = party.app.handle(id);
        (handle.unanswered, handle.opened) = (false, true);
        self.notice(side);
    }

    fn refuse(&mut self, side: Side, id: ConnectionId) {
        let now = self.now;
        let party = self.party(side);
        party.end.session.refuse(now, id, ResetCode::DIAL_REFUSED, "refused").unwrap();
        let handle = party.app.handle(id);
        (handle.unanswered, handle.aborted) = (false, true);
        self.notice(side);
    }

    /// Writes, and says how much.
    pub(crate) fn write(&mut self, side: Side, id: ConnectionId, length: usize) -> usize {
        let now = self.now;
        let party = self.party(side);
        let handle = party.app.handle(id);
        if handle.write_blocked || handle.finished {
            return 0;
        }
        let mut data = Bytes::from(bytes(id, side, handle.wrote, length));
        let written = party.end.session.write(now, id, &mut data);
        let wrote = match written {
            Ok(taken) => {
                assert_eq!((taken > 0, data.len()), (true, length - taken));
                taken
            }
            Err(WriteError::Blocked) => {
                handle.write_blocked = true;
                0
            }
            // The event that says why comes before the next step.
            Err(WriteError::Ended(_)) => 0,
            Err(error) => panic!("write on {id}: {error}"),
        };
        handle.wrote += wrote;
        self.notice(side);
        wrote
    }

    /// Reads once, and says how much.
    pub(crate) fn read(&mut self, side: Side, id: ConnectionId, most: usize) -> usize {
        let now = self.now;
        let party = self.party(side);
        let handle = party.app.handle(id);
        if handle.read_blocked || handle.end_of_file {
            return 0;
        }
        let (place, session) = (handle.read, &mut party.end.session);
        let read = match session.read(now, id, most) {
            Ok(data) if data.is_empty() => {
                handle.end_of_file = true;
                0
            }
            Ok(data) => {
                assert!(data.len() <= most);
                assert!(*data == *bytes(id, side.other(), place, data.len()), "{id} at {place}");
                handle.read += data.len();
                data.len()
            }
            Err(ReadError::Blocked) => {
                handle.read_blocked = true;
                0
            }
            Err(error) => panic!("read on {id}: {error}"),
        };
        self.notice(side);
        read
    }

    pub(crate) fn finish(&mut self, side: Side, id: ConnectionId) {
        let now = self.now;
        let party = self.party(side);
        let handle = party.app.handle(id);
        let cut = party.end.session.read_end(id) == Some(watertight_core::ReadEnd::CutOff);
        let finished = party.end.session.finish(now, id);
        assert_eq!(finished.is_ok(), handle.opened && !cut, "{id}");
        handle.finished |= finished.is_ok();
        self.notice(side);
    }

    pub(crate) fn reset(&mut self, side: Side, id: ConnectionId) {
        let now = self.now;
        let party = self.party(side);
        party.end.session.reset(now, id, ResetCode::CANCELLED, "reset").unwrap();
        party.app.handle(id).aborted = true;
        self.notice(side);
        // It lingers for no other reason than what was written before.
        let party = self.view(side);
        let over = party.end.session.read_end(id) == Some(watertight_core::ReadEnd::CutOff);
        assert!(over || party.app.handles[&id].retired.is_some(), "{id} outlives its reset");
    }

    pub(crate) fn release(&mut self, side: Side, id: ConnectionId) {
        let now = self.now;
        let party = self.party(side);
        party.end.session.release(now, id);
        party.app.handle(id).released = true;
        self.notice(side);
    }
}
