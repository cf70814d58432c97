//! Unauthenticated sockets at a server, and impostors at its address.

use super::random::{Bag, Random, RandomStream, Timeline};
use super::swarm::Swarm;
use crate::schedule::{Action, BrokenFrames, Cast, Host, Knobs, Opening, Transport};

/// The conditions of unauthenticated remotes: how many handshakes a server runs, how long one may take, and
/// how many addresses the remotes have.
pub(super) fn conditions(bag: Bag<'_>, swarm: &Swarm, knobs: &mut Knobs) {
    if !swarm.unauthenticated && !swarm.impostors {
        return;
    }
    let random = &mut bag.random(RandomStream::Door);
    // An agent that is not kept out connects in time.
    let connection = u32::try_from(knobs.connection().as_millis()).unwrap_or(u32::MAX / 2);
    knobs.timing.handshake = connection + random.weighted(&[(6, 0), (3, 300), (2, 9000)]);
    if !swarm.unauthenticated {
        return;
    }
    let others = u32::from(swarm.agents + swarm.servers - 1 + u8::from(swarm.hostile));
    let addresses = random.weighted(&[(5, 1), (2, 2), (1, 3)]);
    // With more handshakes than sources, none waits for a turn; with fewer, all may.
    let (max, addresses) = if random.percent(75) {
        (addresses + others + 1 + random.range(0..=1), addresses)
    } else {
        (random.range(1..=3), random.weighted(&[(1, 3), (1, 20), (1, 1000)]))
    };
    (knobs.hosts.max_handshakes, knobs.hosts.unauthenticated_addresses) = (max, addresses);
}

/// The steps of unauthenticated remotes.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    if swarm.unauthenticated {
        let random = bag.random(RandomStream::Unauthenticated);
        let lasts = 2 * knobs.timing.handshake.min(400) + 200;
        let mut many = Many { random, cast, knobs, timeline, now: 0, lasts };
        many.connect();
        many.disconnect();
    }
    if swarm.impostors {
        impersonate(bag.random(RandomStream::Impostors), swarm, cast, knobs, timeline);
    }
}

struct Many<'a, 'd> {
    random: Random<'d>,
    cast: &'a Cast,
    knobs: &'a Knobs,
    timeline: &'a mut Timeline,
    now: u32,
    /// How long they try again and again: several times as long as a handshake takes.
    lasts: u32,
}

impl Many<'_, '_> {
    fn connect(&mut self) {
        let within = self.knobs.timing.handshake.min(600);
        // A remote that wants to keep others out does the same again and again.
        let habit = self.random.percent(60).then(|| lasting(&mut self.random));
        for _ in 0..1 + self.random.times(60, 5) {
            let opening = habit.clone().unwrap_or_else(|| opening(&mut self.random));
            let action = self.sockets(opening);
            self.timeline.at(self.now, action);
            self.now += self.random.range(0..=within / 2);
        }
    }

    fn sockets(&mut self, opening: Opening) -> Action {
        let random = &mut self.random;
        // More than run and wait, or a few.
        let all = 5 * self.knobs.hosts.max_handshakes + 3;
        let most = if matches!(opening, Opening::Frames { .. }) { 6 } else { all };
        let sockets = if random.percent(70) { most } else { random.range(1..=most) };
        let leaves = random.percent(30);
        let transport = random.weighted(&[(2, Transport::WebSocket), (1, Transport::ByteStream)]);
        Action::UnauthenticatedConnect {
            server: random.below(self.cast.servers),
            sockets: u16::try_from(sockets).unwrap_or(u16::MAX),
            transport,
            opening,
            leave_after: leaves.then(|| random.range(0..=self.knobs.timing.handshake)),
            again_for: if random.percent(60) {
                random.range(self.lasts / 2..=self.lasts)
            } else {
                0
            },
            hold_on: random.percent(40),
        }
    }

    /// Agents come back in the middle of it.
    fn disconnect(&mut self) {
        let honest = (0_u8..).zip(&self.cast.agents).filter(|(_, agent)| agent.kind.is_honest());
        for (agent, _) in honest {
            for _ in 0..self.random.times(60, 3) {
                let now = self.random.range(0..=self.now + self.lasts / 2);
                self.timeline.at(now, Action::Disconnect { agent });
            }
        }
    }
}

/// A remote impersonates a server, and agents that lose their sessions connect to it.
fn impersonate(
    mut random: Random<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    let mut now = 0;
    for _ in 0..1 + random.times(40, 3) {
        let server = random.below(cast.servers);
        let within = random.range(1..=2 * knobs.timing.handshake.min(400));
        timeline.at(now, Action::Impersonate { server, opening: opening(&mut random), within });
        for (agent, of) in (0_u8..).zip(&cast.agents) {
            if of.home == server && of.kind.is_honest() && random.percent(60) {
                let by = Host::Agent(agent);
                let action = if random.percent(50) {
                    Action::Disconnect { agent }
                } else {
                    Action::Cut { by }
                };
                timeline.at(now, action);
            }
        }
        now += within + random.range(0..=swarm.horizon);
    }
}

/// An opening that takes a slot among the handshakes for long.
fn lasting(random: &mut Random<'_>) -> Opening {
    match random.range(0..=6) {
        0 | 1 => Opening::Silence,
        4 | 5 => Opening::Wrong,
        2 | 3 => Opening::Part { bytes: u16::try_from(random.range(1..=300)).unwrap_or(1) },
        _ => opening(random),
    }
}

fn opening(random: &mut Random<'_>) -> Opening {
    match random.range(0..=9) {
        0 | 1 => Opening::Silence,
        2 => Opening::Part { bytes: 1 },
        3 | 4 => Opening::Part { bytes: u16::try_from(random.range(1..=300)).unwrap_or(1) },
        5 => Opening::Garbage { bytes: bytes(random) },
        6 | 7 => Opening::Wrong,
        _ => Opening::Frames { frames: frames(random) },
    }
}

fn frames(random: &mut Random<'_>) -> BrokenFrames {
    match random.range(0..=7) {
        0 => BrokenFrames::Opcode,
        1 => BrokenFrames::ReservedBits,
        2 => BrokenFrames::Length,
        3 => BrokenFrames::Unfinished,
        4 => BrokenFrames::Fragments,
        5 => BrokenFrames::LongControl,
        6 => BrokenFrames::Masked,
        _ => BrokenFrames::Garbage { bytes: bytes(random) },
    }
}

/// Any, or what begins as a greeting does.
fn bytes(random: &mut Random<'_>) -> Vec<u8> {
    let start: &[u8] = random.weighted(&[
        (3, b"".as_slice()),
        (1, b"\0".as_slice()),
        (1, b"GET / HTTP/1.1\r\n".as_slice()),
        (1, b"\x16\x03\x01".as_slice()),
    ]);
    let rest = (0..1 + random.times(90, 60)).map(|_| random.byte());
    start.iter().copied().chain(rest).collect()
}
