use std::time::Duration;

use watertight_core::wire::Dialect;
use watertight_core::{Cause, ConnectionId};

use super::operation::{SIDES, Side};
use super::setup::Finale;
use super::world::World;

/// What each application still writes on each connection, in the end.
const REST: usize = 7000;

/// After which an end of the base dialect that is held looks for the first time.
const LOOK: Duration = Duration::from_millis(10);

/// How often they may have to: small as the limits are here, they hold each other again and again.
const LOOKS: usize = 40;

impl World {
    /// The schedule is over and everything heals: what was blocked goes on, what is open comes to
    /// its end, and nothing is left.
    pub(crate) fn settle(&mut self, finale: Finale) {
        self.flow();
        self.check();
        if self.joined {
            self.answer_all();
            self.deliver_all();
            if finale == Finale::Finish {
                self.finish_all();
            }
        }
        self.let_go();
        self.pass_time();
        self.end();
    }

    fn answer_all(&mut self) {
        for side in SIDES {
            for id in self.view(side).app.held() {
                if self.view(side).app.handles[&id].unanswered {
                    self.accept(side, id);
                }
            }
        }
        self.flow();
        self.check();
    }

    /// Both applications read and write until everything has arrived, without time passing, but for
    /// the moments after which two ends of the base dialect that hold each other look whether
    /// there is room. A wake-up that does not come shows here.
    fn deliver_all(&mut self) {
        let goals: Vec<_> = self
            .streams()
            .into_iter()
            .map(|(side, id)| {
                let handle = &self.view(side).app.handles[&id];
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
            let (writer, reader) = (&self.view(side).app, &self.view(side.other()).app);
            let (writer, reader) = (&writer.handles[&id], &reader.handles[&id]);
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
            self.view(side.other()).app.held().contains(id)
                && self.view(side).app.handles[id].opened
        };
        let of = |side: Side| {
            let held = self.view(side).app.held();
            held.into_iter().filter(move |id| both(side, id)).map(move |id| (side, id))
        };
        SIDES.into_iter().flat_map(of).collect()
    }

    fn is_held(&self, side: Side, id: ConnectionId) -> bool {
        let handle = &self.view(side).app.handles[&id];
        handle.retired.is_none() && !handle.released && !handle.aborted
    }

    fn write_up_to(&mut self, side: Side, id: ConnectionId, goal: usize) -> bool {
        let mut moved = false;
        while self.is_held(side, id) {
            let rest = goal - self.view(side).app.handles[&id].wrote;
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

    /// Both ends of each connection finish and read to the end. Between two ends of ours this
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
                let end = self.view(side).app.handles[&id].retired.as_ref();
                assert!(
                    end.is_some_and(|end| end.complete || end.cause != Cause::Finished),
                    "{side:?} {id}: {end:?}"
                );
            }
        }
    }

    fn let_go(&mut self) {
        for side in SIDES {
            for id in self.view(side).app.held() {
                self.release(side, id);
            }
        }
        self.flow();
        self.check();
    }

    /// Deadlines pass until nothing is held: whatever lingers has one.
    fn pass_time(&mut self) {
        for _ in 0..60 {
            let quiet = |side: &Side| self.view(*side).end.session.ledger().is_quiet();
            if SIDES.iter().all(quiet) {
                break;
            }
            self.advance(Duration::from_secs(1));
            self.flow();
            self.check();
        }
        for side in SIDES {
            self.view(side).end.assert_quiet();
        }
    }

    fn end(&mut self) {
        self.close(Side::Server);
        self.flow();
        self.cut();
        self.check();
        for side in SIDES {
            let party = self.view(side);
            party.end.assert_even();
            assert!(party.end.closed.is_some());
            for (id, handle) in &party.app.handles {
                assert!(handle.retired.is_some(), "{side:?} {id} was never retired");
            }
        }
    }
}
