use std::collections::VecDeque;
use std::time::Duration;

use watertight_core::wire::{Dialect, GoAwayCode};
use watertight_core::{Instant, Role};

use super::app::App;
use super::operation::{Operation, SIDES, Side};
use super::setup::{Setup, Small};
use crate::support::{End, Item};

/// An end with its application and the pipe toward it.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) end: End,
    pub(crate) app: App,
    pub(crate) limits: Small,
    /// How many writers were blocked at once while the send budget was used up.
    pub(crate) most_blocked: usize,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) dialect: Dialect,
    agent: Party,
    server: Party,
    /// Whether the transport still carries something.
    pub(crate) joined: bool,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        let party = |role, limits: &Small| Party {
            end: End::new(now, role, setup.dialect, limits.config()),
            app: App::default(),
            limits: limits.clone(),
            most_blocked: 0,
        };
        Self {
            now,
            dialect: setup.dialect,
            agent: party(Role::Connector, &setup.agent),
            server: party(Role::Acceptor, &setup.server),
            joined: true,
        }
    }

    pub(crate) fn party(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Agent => &mut self.agent,
            Side::Server => &mut self.server,
        }
    }

    pub(crate) fn view(&self, side: Side) -> &Party {
        match side {
            Side::Agent => &self.agent,
            Side::Server => &self.server,
        }
    }

    pub(crate) fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Connect { side } => self.connect(side),
            Operation::Open { side, within } => {
                self.open(side, within);
            }
            Operation::Accept { side, which } => self.answer(side, which, true),
            Operation::Refuse { side, which } => self.answer(side, which, false),
            Operation::Write { side, which, length } => {
                self.picked(side, which, |world, id| {
                    world.write(side, id, length.into());
                });
            }
            Operation::Read { side, which, most } => {
                self.picked(side, which, |world, id| {
                    world.read(side, id, most.into());
                });
            }
            Operation::Finish { side, which } => {
                self.picked(side, which, |world, id| world.finish(side, id));
            }
            Operation::Reset { side, which } => {
                self.picked(side, which, |world, id| world.reset(side, id));
            }
            Operation::Release { side, which } => {
                self.picked(side, which, |world, id| world.release(side, id));
            }
            Operation::Transmit { side, count } => {
                self.transmit(side, count.into());
            }
            Operation::Deliver { side, count } => {
                self.deliver(side, count.into());
            }
            Operation::Flow => self.flow(),
            Operation::Advance { millis } => self.advance(Duration::from_millis(millis.into())),
            Operation::Pass { seconds } => self.pass(Duration::from_secs(seconds.into())),
            Operation::Drain { side, within } => self.drain(side, within),
            Operation::Close { side } => self.close(side),
            Operation::Cut => self.cut(),
        }
    }

    /// Lets an application see its events.
    pub(crate) fn notice(&mut self, side: Side) {
        let party = self.party(side);
        party.end.poll_events();
        party.app.notice(&party.end.events);
        if party.end.session.ledger().bytes_to_send >= party.limits.send_budget as u64 {
            let blocked = party.app.handles.values().filter(|handle| handle.write_blocked).count();
            party.most_blocked = party.most_blocked.max(blocked);
        }
    }

    /// The transport takes messages; after a farewell it takes no more and closes.
    pub(crate) fn transmit(&mut self, side: Side, most: usize) -> bool {
        let now = self.now;
        for moved in 0..most {
            let Some(item) = self.party(side).end.transmit(now) else {
                self.notice(side);
                return moved > 0;
            };
            self.notice(side);
            if self.joined {
                self.party(side.other()).end.inbox.push_back(item);
            }
        }
        true
    }

    pub(crate) fn deliver(&mut self, side: Side, most: usize) -> bool {
        let now = self.now;
        for moved in 0..most {
            let Some(item) = self.party(side).end.inbox.pop_front() else { return moved > 0 };
            let answer = self.party(side).end.take(now, item);
            self.notice(side);
            self.party(side.other()).end.inbox.extend(answer);
        }
        true
    }

    /// Everything that can move moves.
    pub(crate) fn flow(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for side in SIDES {
                moved |= self.transmit(side, usize::MAX);
                moved |= self.deliver(side.other(), usize::MAX);
            }
        }
        // An end that is over has said so by now, and closes its transport.
        if SIDES.iter().any(|side| self.view(*side).end.closed.is_some()) {
            self.cut();
        }
    }

    /// Time passes, in steps to each deadline; nothing moves.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            for side in SIDES {
                let now = self.now;
                self.party(side).end.session.handle_timeout(now);
                self.notice(side);
            }
        }
        self.now = until;
    }

    /// Time passes, and everything moves.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        self.flow();
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.advance(at - self.now);
            self.flow();
        }
        self.now = until;
    }

    fn next_timeout(&self) -> Option<Instant> {
        SIDES.iter().filter_map(|side| self.view(*side).end.session.poll_timeout()).min()
    }

    fn drain(&mut self, side: Side, within: u16) {
        let now = self.now;
        let within = Duration::from_millis(within.into());
        self.party(side).end.session.drain(now, "drained", within);
        self.notice(side);
    }

    pub(crate) fn close(&mut self, side: Side) {
        let now = self.now;
        self.party(side).end.session.close(now, GoAwayCode::SHUTDOWN, "closed");
        self.notice(side);
    }

    pub(crate) fn cut(&mut self) {
        self.joined = false;
        let now = self.now;
        for side in SIDES {
            let end = &mut self.party(side).end;
            end.inbox = VecDeque::<Item>::new();
            end.session.handle_transport_ended(now, "cut");
            self.notice(side);
        }
    }
}
