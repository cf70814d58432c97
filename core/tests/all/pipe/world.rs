//! Two endpoints, the link between them, and the operations on them.

use std::collections::VecDeque;
use std::time::Duration;

use watertight_core::session::ProtocolViolation;
use watertight_core::testkit::{Both, Endpoint, Item, Side, check_between};
use watertight_core::wire::Dialect;
use watertight_core::{ConnectionId, Instant};

use super::operation::Operation;
use super::setup::{Setup, Small};

/// The most control messages that wait: the limit of 100, and what the application causes.
const CONTROL: u64 = 110;

/// An end, and the items in flight to it.
#[derive(Debug)]
pub(crate) struct Party {
    pub(crate) end: Endpoint,
    inbox: VecDeque<Item>,
    limits: Small,
    /// How many writers were blocked at once while the send budget was used up.
    pub(crate) most_blocked: usize,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) dialect: Dialect,
    parties: Both<Party>,
    /// Whether the transport still carries something.
    pub(crate) joined: bool,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        let party = |side| {
            let limits = if side == Side::Agent { &setup.agent } else { &setup.server };
            let mut end = Endpoint::new(now, side, setup.dialect, limits.config());
            end.events = Some(Vec::new());
            Party { end, inbox: VecDeque::new(), limits: limits.clone(), most_blocked: 0 }
        };
        Self { now, dialect: setup.dialect, parties: Both::new(party), joined: true }
    }

    pub(crate) fn end(&self, side: Side) -> &Endpoint {
        &self.view(side).end
    }

    pub(crate) const fn view(&self, side: Side) -> &Party {
        self.parties.of(side)
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
                self.picked(side, which, |world, id| {
                    world.act(side, |end, now| end.reset(now, id))
                });
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
            Operation::Drain { side, within } => {
                let within = Duration::from_millis(within.into());
                self.act(side, |end, now| end.drain(now, within));
            }
            Operation::Close { side } => self.close(side),
            Operation::Cut => self.cut(),
        }
    }

    /// An end does something, and its invariants are checked.
    fn act<R>(&mut self, side: Side, act: impl FnOnce(&mut Endpoint, Instant) -> R) -> R {
        let party = self.parties.of_mut(side);
        let result = act(&mut party.end, self.now);
        party.end.check_ledger();
        if party.end.session.ledger().bytes_to_send >= party.limits.send_budget as u64 {
            let handles = party.end.app.iter();
            let blocked = handles.filter(|(_, handle)| handle.write_blocked).count();
            party.most_blocked = party.most_blocked.max(blocked);
        }
        result
    }

    /// Does something with one of the connections that the application holds.
    fn picked(&mut self, side: Side, which: u8, act: impl FnOnce(&mut Self, ConnectionId)) {
        let held = self.held(side);
        if let Some(position) = usize::from(which).checked_rem(held.len()) {
            act(self, held[position]);
        }
    }

    pub(crate) fn held(&self, side: Side) -> Vec<ConnectionId> {
        self.end(side).app.held().map(|(id, _)| id).collect()
    }

    fn connect(&mut self, side: Side) {
        let Some(id) = self.open(side, u16::MAX) else { return };
        self.flow();
        if self.end(side.other()).app.get(id).is_some_and(|handle| handle.unanswered) {
            self.accept(side.other(), id);
            self.flow();
        }
    }

    fn open(&mut self, side: Side, within: u16) -> Option<ConnectionId> {
        let within = Duration::from_millis(within.into());
        self.act(side, |end, now| end.open(now, within)).ok()
    }

    fn answer(&mut self, side: Side, which: u8, accept: bool) {
        let unanswered = self.end(side).app.held().filter(|(_, handle)| handle.unanswered);
        let waiting: Vec<_> = unanswered.map(|(id, _)| id).collect();
        let Some(position) = usize::from(which).checked_rem(waiting.len()) else { return };
        let id = waiting[position];
        if accept {
            self.accept(side, id);
        } else {
            self.act(side, |end, now| end.refuse(now, id));
        }
    }

    pub(crate) fn accept(&mut self, side: Side, id: ConnectionId) {
        self.act(side, |end, now| end.accept(now, id));
    }

    /// Writes, if the application may; how many bytes the session took.
    pub(crate) fn write(&mut self, side: Side, id: ConnectionId, length: usize) -> usize {
        let handle = self.end(side).app.get(id);
        if handle.is_none_or(|handle| handle.write_blocked || handle.finished) {
            return 0;
        }
        self.act(side, |end, now| end.write(now, id, length))
    }

    /// Reads once, if the application may; how many bytes there were.
    pub(crate) fn read(&mut self, side: Side, id: ConnectionId, most: usize) -> usize {
        let handle = self.end(side).app.get(id);
        if handle.is_none_or(|handle| handle.read_blocked || handle.end_of_file) {
            return 0;
        }
        self.act(side, |end, now| end.read(now, id, most))
    }

    pub(crate) fn finish(&mut self, side: Side, id: ConnectionId) {
        self.act(side, |end, now| end.finish(now, id));
    }

    pub(crate) fn release(&mut self, side: Side, id: ConnectionId) {
        self.act(side, |end, now| end.release(now, id));
    }

    pub(crate) fn close(&mut self, side: Side) {
        self.act(side, |end, now| end.close(now));
    }

    /// The transport takes messages.
    fn transmit(&mut self, side: Side, most: usize) -> bool {
        for moved in 0..most {
            let Some(item) = self.act(side, |end, now| end.transmit(now)) else {
                return moved > 0;
            };
            if self.joined {
                self.parties.of_mut(side.other()).inbox.push_back(item);
            }
        }
        true
    }

    fn deliver(&mut self, side: Side, most: usize) -> bool {
        for moved in 0..most {
            let Some(item) = self.parties.of_mut(side).inbox.pop_front() else { return moved > 0 };
            let answer = self.act(side, |end, now| end.receive(now, item));
            self.parties.of_mut(side.other()).inbox.extend(answer);
        }
        true
    }

    /// Everything that can move moves.
    pub(crate) fn flow(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for side in Side::BOTH {
                moved |= self.transmit(side, usize::MAX);
                moved |= self.deliver(side.other(), usize::MAX);
            }
        }
        // An ended session has sent its last message by now, and closes its transport.
        if Side::BOTH.iter().any(|side| self.end(*side).app.closed) {
            self.cut();
        }
    }

    /// Time passes, in steps to each deadline; nothing moves.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            Side::BOTH.into_iter().for_each(|side| self.act(side, Endpoint::expire));
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
        Side::BOTH.iter().filter_map(|side| self.end(*side).session.poll_timeout()).min()
    }

    pub(crate) fn cut(&mut self) {
        self.joined = false;
        for side in Side::BOTH {
            self.parties.of_mut(side).inbox.clear();
            self.act(side, Endpoint::lose);
        }
    }

    /// What holds at every moment.
    pub(crate) fn check(&self) {
        let still = self.is_still();
        for side in Side::BOTH {
            self.check_memory(side);
            self.check_violation(side);
            check_between(self.end(side), self.end(side.other()), self.now, still);
        }
    }

    fn check_memory(&self, side: Side) {
        let (ledger, limits) = (self.end(side).session.ledger(), &self.view(side).limits);
        assert!(ledger.live <= limits.max_connections as u64);
        assert!(ledger.outbound_dials <= limits.max_dials as u64);
        assert!(ledger.inbound_dials <= limits.max_dials as u64);
        assert!(ledger.bytes_to_send <= limits.send_budget as u64);
        let received = match self.dialect {
            Dialect::Base => limits.unread_budget as u64,
            Dialect::Extended => ledger.live * limits.initial_window + limits.window_budget,
        };
        assert!(ledger.bytes_received <= received, "{} > {received}", ledger.bytes_received);
        assert!(ledger.queued_control <= CONTROL, "{}", ledger.queued_control);
    }

    /// Two correct ends never break a rule, except that one may cause answers and not read them.
    fn check_violation(&self, side: Side) {
        if let Some(violation) = self.end(side).violation() {
            let unread = matches!(violation, ProtocolViolation::AnswersUnread(_));
            assert!(unread, "{side}: {violation}");
        }
    }

    /// Whether nothing is in flight.
    fn is_still(&self) -> bool {
        Side::BOTH.iter().all(|side| {
            let party = self.view(*side);
            party.inbox.is_empty() && !party.end.session.has_transmit() && !party.end.app.closed
        })
    }
}
