//! The end of a schedule: everything heals, and nothing is left.

use std::time::Duration;

use watertight_core::testkit::{Handle, Side};
use watertight_core::wire::Dialect;
use watertight_core::{Cause, ConnectionId};

use super::setup::Last;
use super::world::World;

/// What each application still writes on each connection, in the end.
const REST: usize = 7000;

/// After which an end of the base dialect that is held looks for the first time.
const LOOK: Duration = Duration::from_millis(10);

/// How often they may have to: small as the limits are here, they hold each other again and again.
const LOOKS: usize = 40;

impl World {
    /// The schedule is over and everything heals: blocked applications continue, open connections
    /// end, and nothing is left.
    pub(crate) fn settle(&mut self, last: Last) {
        self.flow();
        self.check();
        if self.joined {
            self.answer_all();
            self.deliver_all();
            if last == Last::Finish {
                self.finish_all();
            }
        }
        self.let_go();
        self.pass_time();
        self.end_session();
    }

    fn answer_all(&mut self) {
        for side in Side::BOTH {
            for id in self.held(side) {
                if self.handle(side, id).unanswered {
                    self.accept(side, id);
                }
            }
        }
        self.flow();
        self.check();
    }

    /// Both applications read and write until everything has arrived, without time passing, but for
    /// the moments after which two ends of the base dialect that pause each other probe. A missing
    /// wake-up shows here.
    fn deliver_all(&mut self) {
        let goals: Vec<_> = self
            .streams()
            .into_iter()
            .map(|(side, id)| {
                let handle = self.handle(side, id);
                (side, id, handle.wrote + if handle.finished { 0 } else { REST })
            })
            .collect();
        let mut looks = if self.dialect == Dialect::Base { LOOKS } else { 0 };
        let mut moves = true;
        while moves || looks > 0 {
            if !moves {
                looks -= 1;
                self.pass(LOOK);
            }
            moves = false;
            for (side, id, goal) in &goals {
                moves |= self.write_up_to(*side, *id, *goal);
                moves |= self.read_up(side.other(), *id);
            }
            self.flow();
            self.check();
        }
        for (side, id, goal) in goals {
            let (writer, reader) = (self.handle(side, id), self.handle(side.other(), id));
            if writer.retired.is_some() || reader.retired.is_some() || !self.joined {
                continue;
            }
            assert_eq!(
                (writer.wrote, reader.read),
                (goal, goal),
                "{side:?} {id} hangs:\n{writer:?}\n{reader:?}"
            );
            let learns = !writer.finished || self.dialect == Dialect::Base;
            assert!(learns || reader.end_of_file, "{id}: no end of file:\n{reader:?}");
        }
    }

    /// The directions of connections that both applications hold.
    fn streams(&self) -> Vec<(Side, ConnectionId)> {
        let both = |side: Side, id: &ConnectionId| {
            self.is_held(side.other(), *id) && self.handle(side, *id).opened
        };
        let of = |side: Side| {
            let held = self.held(side);
            held.into_iter().filter(move |id| both(side, id)).map(move |id| (side, id))
        };
        Side::BOTH.into_iter().flat_map(of).collect()
    }

    /// The handle of a connection that the application knows.
    fn handle(&self, side: Side, id: ConnectionId) -> &Handle {
        self.end(side).app.get(id).unwrap()
    }

    fn is_held(&self, side: Side, id: ConnectionId) -> bool {
        self.end(side).app.get(id).is_some_and(Handle::is_held)
    }

    fn write_up_to(&mut self, side: Side, id: ConnectionId, goal: usize) -> bool {
        let mut moved = false;
        while self.is_held(side, id) {
            let rest = goal - self.handle(side, id).wrote;
            if rest == 0 || self.write(side, id, rest) == 0 {
                break;
            }
            moved = true;
        }
        moved
    }

    fn read_up(&mut self, side: Side, id: ConnectionId) -> bool {
        let mut moved = false;
        while self.is_held(side, id) && self.read(side, id, 3000) > 0 {
            moved = true;
        }
        moved
    }

    /// Both ends of each connection finish and read to the end. Between two watertight ends this
    /// needs no timer.
    fn finish_all(&mut self) {
        let streams = self.streams();
        for (side, id) in &streams {
            if self.is_held(*side, *id) {
                self.finish(*side, *id);
            }
        }
        self.flow();
        for (side, id) in &streams {
            self.read_up(*side, *id);
        }
        self.flow();
        self.check();
        if self.dialect == Dialect::Extended && self.joined {
            for (side, id) in streams {
                let end = self.handle(side, id).retired.as_ref();
                assert!(
                    end.is_some_and(|end| end.complete || end.cause != Cause::Finished),
                    "{side:?} {id}: {end:?}"
                );
            }
        }
    }

    fn let_go(&mut self) {
        for side in Side::BOTH {
            for id in self.held(side) {
                self.release(side, id);
            }
        }
        self.flow();
        self.check();
    }

    /// Deadlines pass until nothing is held: every lingering connection has one.
    fn pass_time(&mut self) {
        for _ in 0..60 {
            let quiet = |side: &Side| self.end(*side).session.ledger().is_quiet();
            if Side::BOTH.iter().all(quiet) {
                break;
            }
            self.advance(Duration::from_secs(1));
            self.flow();
            self.check();
        }
        for side in Side::BOTH {
            let ledger = self.end(side).session.ledger();
            assert!(ledger.is_quiet(), "{ledger}");
        }
    }

    fn end_session(&mut self) {
        self.close(Side::Server);
        self.flow();
        self.cut();
        self.check();
        for side in Side::BOTH {
            self.end(side).check_settled("in the end");
        }
    }
}
