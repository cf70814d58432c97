//! Unauthenticated sockets at a server, and impostors at its address.

use super::dice::{Actor, Bag, Dice};
use super::swarm::Swarm;
use super::timeline::Timeline;
use crate::schedule::{Action, BrokenFrames, Cast, Host, Knobs, Opening, Transport};

/// The conditions under which strangers come: how many handshakes a server runs, how long one may take, and
/// how many addresses the strangers have.
pub(super) fn conditions(bag: Bag<'_>, swarm: &Swarm, knobs: &mut Knobs) {
    if !swarm.strangers && !swarm.impostors {
        return;
    }
    let dice = &mut bag.dice(Actor::Door);
    // An agent that nobody keeps out connects in time.
    let connection = u32::try_from(knobs.connection().as_millis()).unwrap_or(u32::MAX / 2);
    knobs.timing.handshake = connection + dice.weighted(&[(6, 0), (3, 300), (2, 9000)]);
    if !swarm.strangers {
        return;
    }
    let others = u32::from(swarm.agents + swarm.servers - 1 + u8::from(swarm.hostile));
    let addresses = dice.weighted(&[(5, 1), (2, 2), (1, 3)]);
    // With more handshakes than sources, nobody has to wait for a turn; with fewer, everybody may.
    let (max, addresses) = if dice.percent(75) {
        (addresses + others + 1 + dice.range(0..=1), addresses)
    } else {
        (dice.range(1..=3), dice.weighted(&[(1, 3), (1, 20), (1, 1000)]))
    };
    (knobs.hosts.max_handshakes, knobs.hosts.stranger_addresses) = (max, addresses);
}

/// What strangers do.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    if swarm.strangers {
        let dice = bag.dice(Actor::Strangers);
        let lasts = 2 * knobs.timing.handshake.min(400) + 200;
        let mut crowd = Crowd { dice, cast, knobs, timeline, now: 0, lasts };
        crowd.connect();
        crowd.disconnect();
    }
    if swarm.impostors {
        impersonate(bag.dice(Actor::Impostors), swarm, cast, knobs, timeline);
    }
}

struct Crowd<'a, 'd> {
    dice: Dice<'d>,
    cast: &'a Cast,
    knobs: &'a Knobs,
    timeline: &'a mut Timeline,
    now: u32,
    /// How long they try again and again: several times as long as a handshake takes.
    lasts: u32,
}

impl Crowd<'_, '_> {
    fn connect(&mut self) {
        let within = self.knobs.timing.handshake.min(600);
        // One who wants to keep others out does the same again and again.
        let habit = self.dice.percent(60).then(|| lasting(&mut self.dice));
        for _ in 0..1 + self.dice.times(60, 5) {
            let opening = habit.clone().unwrap_or_else(|| opening(&mut self.dice));
            let action = self.sockets(opening);
            self.timeline.at(self.now, action);
            self.now += self.dice.range(0..=within / 2);
        }
    }

    fn sockets(&mut self, opening: Opening) -> Action {
        let dice = &mut self.dice;
        // More than run and wait, or a few.
        let all = 5 * self.knobs.hosts.max_handshakes + 3;
        let most = if matches!(opening, Opening::Frames { .. }) { 6 } else { all };
        let sockets = if dice.percent(70) { most } else { dice.range(1..=most) };
        let leaves = dice.percent(30);
        let transport = dice.weighted(&[(2, Transport::WebSocket), (1, Transport::ByteStream)]);
        Action::StrangersConnect {
            server: dice.below(self.cast.servers),
            sockets: u16::try_from(sockets).unwrap_or(u16::MAX),
            transport,
            opening,
            leave_after: leaves.then(|| dice.range(0..=self.knobs.timing.handshake)),
            again_for: if dice.percent(60) { dice.range(self.lasts / 2..=self.lasts) } else { 0 },
            hold_on: dice.percent(40),
        }
    }

    /// Agents come back in the middle of it.
    fn disconnect(&mut self) {
        let honest = (0_u8..).zip(&self.cast.agents).filter(|(_, agent)| agent.kind.is_honest());
        for (agent, _) in honest {
            for _ in 0..self.dice.times(60, 3) {
                let now = self.dice.range(0..=self.now + self.lasts / 2);
                self.timeline.at(now, Action::Disconnect { agent });
            }
        }
    }
}

/// Somebody is in a server's place, and agents that lose their sessions meet him.
fn impersonate(
    mut dice: Dice<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    let mut now = 0;
    for _ in 0..1 + dice.times(40, 3) {
        let server = dice.below(cast.servers);
        let within = dice.range(1..=2 * knobs.timing.handshake.min(400));
        timeline.at(now, Action::Impersonate { server, opening: opening(&mut dice), within });
        for (agent, of) in (0_u8..).zip(&cast.agents) {
            if of.home == server && of.kind.is_honest() && dice.percent(60) {
                let by = Host::Agent(agent);
                let action = if dice.percent(50) {
                    Action::Disconnect { agent }
                } else {
                    Action::Cut { by }
                };
                timeline.at(now, action);
            }
        }
        now += within + dice.range(0..=swarm.horizon);
    }
}

/// One that takes a place among the handshakes for long.
fn lasting(dice: &mut Dice<'_>) -> Opening {
    match dice.range(0..=6) {
        0 | 1 => Opening::Silence,
        4 | 5 => Opening::Wrong,
        2 | 3 => Opening::Part { bytes: u16::try_from(dice.range(1..=300)).unwrap_or(1) },
        _ => opening(dice),
    }
}

fn opening(dice: &mut Dice<'_>) -> Opening {
    match dice.range(0..=9) {
        0 | 1 => Opening::Silence,
        2 => Opening::Part { bytes: 1 },
        3 | 4 => Opening::Part { bytes: u16::try_from(dice.range(1..=300)).unwrap_or(1) },
        5 => Opening::Garbage { bytes: bytes(dice) },
        6 | 7 => Opening::Wrong,
        _ => Opening::Frames { frames: frames(dice) },
    }
}

fn frames(dice: &mut Dice<'_>) -> BrokenFrames {
    match dice.range(0..=7) {
        0 => BrokenFrames::Opcode,
        1 => BrokenFrames::ReservedBits,
        2 => BrokenFrames::Length,
        3 => BrokenFrames::Unfinished,
        4 => BrokenFrames::Fragments,
        5 => BrokenFrames::LongControl,
        6 => BrokenFrames::Masked,
        _ => BrokenFrames::Garbage { bytes: bytes(dice) },
    }
}

/// Any, or what begins as a greeting does.
fn bytes(dice: &mut Dice<'_>) -> Vec<u8> {
    let start: &[u8] = dice.weighted(&[
        (3, b"".as_slice()),
        (1, b"\0".as_slice()),
        (1, b"GET / HTTP/1.1\r\n".as_slice()),
        (1, b"\x16\x03\x01".as_slice()),
    ]);
    let rest = (0..1 + dice.times(90, 60)).map(|_| dice.byte());
    start.iter().copied().chain(rest).collect()
}
