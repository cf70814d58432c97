//! Whatever has happened: a connection that is open at both ends carries bytes.

use watertight_core::ConnectionId;

use super::action::{Action, Command, Deed};
use super::ends::Ends;
use super::settle::PROBE;
use super::side::Side;
use super::state::State;

impl State {
    /// Every writer that may write does so once more, and every byte of it is read.
    ///
    /// # Panics
    /// A dial has no answer, a writer may not write, or a byte does not arrive.
    pub(super) fn get_on(&mut self, ends: &Ends) {
        if !Side::BOTH.iter().all(|side| self.end(*side).hears()) {
            return;
        }
        for (side, id) in self.streams() {
            let before = self.wrote(side, id);
            self.write_once(ends, side, id);
            if !self.end(side).extended() {
                // It may be stopped, and is told before long that it may go on.
                self.pass(ends, PROBE, |state| state.may_write(side, id));
                assert!(self.may_write(side, id), "{side} {id}: a writer was not woken");
                self.write_once(ends, side, id);
            }
            assert!(self.wrote(side, id) > before, "{side} {id}: nothing can be written");
            assert!(self.has_arrived(side, id), "{side} {id}: what was written is not read");
        }
        self.check();
    }

    /// The directions that are open at both ends.
    fn streams(&self) -> Vec<(Side, ConnectionId)> {
        let mut streams = Vec::new();
        for side in Side::BOTH {
            for (id, handle) in self.end(side).app.held() {
                assert!(handle.opened, "{side} {id}: a dial without an answer");
                let is_read = self.is_open(side.other(), id);
                if self.is_open(side, id) && !handle.finished && is_read {
                    streams.push((side, id));
                }
            }
        }
        streams
    }

    fn is_open(&self, side: Side, id: ConnectionId) -> bool {
        let end = self.end(side);
        let is_held = end.app.get(id).is_some_and(|handle| handle.is_held() && handle.opened);
        is_held && end.session.read_end(id).is_none()
    }

    fn write_once(&mut self, ends: &Ends, side: Side, id: ConnectionId) {
        self.act(ends, Action::Command(side, Command::Connection(id, Deed::Write)));
        self.flow(ends);
        self.deliver_all(ends);
    }

    fn wrote(&self, side: Side, id: ConnectionId) -> u16 {
        self.end(side).app.get(id).map_or(0, |handle| handle.wrote)
    }

    fn may_write(&self, side: Side, id: ConnectionId) -> bool {
        self.end(side).app.get(id).is_some_and(|handle| !handle.write_blocked)
    }

    fn has_arrived(&self, side: Side, id: ConnectionId) -> bool {
        let read = self.end(side.other()).app.get(id).map(|handle| handle.read);
        read == Some(self.wrote(side, id))
    }
}
