//! Messages of hostile agents, in runs of one habit.

use super::random::{Bag, Random, RandomStream, Timeline};
use super::swarm::Swarm;
use crate::schedule::{Action, AgentKind, Cast, HostileMessage, Knobs, StreamId};

/// The messages of the hostile agents.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    for (number, agent) in (0..).zip(&cast.agents) {
        if let AgentKind::Hostile { base, .. } = agent.kind {
            let random = bag.random(RandomStream::Hostile(number));
            // A message before the session is up is lost.
            let from = 3 * knobs.link.max_latency;
            exchange(random, swarm, (number, base), from, timeline);
        }
    }
}

fn exchange(
    mut random: Random<'_>,
    swarm: &Swarm,
    (agent, base): (u8, bool),
    from: u32,
    timeline: &mut Timeline,
) {
    let habit = habit(&mut random);
    let mut now = from;
    for turn in 0..1 + random.times(80, 20) {
        now += random.range(0..=swarm.horizon / 6);
        let message = match habit {
            Habit::Random => message(&mut random, base),
            Habit::Lists => list(&mut random, base, turn),
            Habit::Pours => pour(&mut random, base, turn),
            Habit::Asks => ask(&mut random, base, turn),
        };
        timeline.at(now, Action::Send { agent, message });
    }
}

/// The aim of a hostile agent. Chance alone seldom does the same thing long enough.
#[derive(Clone, Copy)]
enum Habit {
    /// Anything.
    Random,
    /// A wrong list of the connections.
    Lists,
    /// Opens connections and sends without end.
    Pours,
    /// Makes the remote answer, and reads no answer.
    Asks,
}

fn habit(random: &mut Random<'_>) -> Habit {
    let habits = [(6, Habit::Random), (1, Habit::Lists), (1, Habit::Pours), (2, Habit::Asks)];
    random.weighted(&habits)
}

fn list(random: &mut Random<'_>, base: bool, turn: u16) -> HostileMessage {
    if turn == 0 || random.percent(20) {
        let id = i64::from(turn) + 1;
        return HostileMessage::Connect { id, target: target(random) };
    }
    let ids = if random.percent(70) { Vec::new() } else { ids(random) };
    if base {
        HostileMessage::SyncConnections { ids }
    } else {
        HostileMessage::Sync { newest: random.weighted(&[(1, 2), (1, 6), (1, 1 << 40)]), ids }
    }
}

fn pour(random: &mut Random<'_>, base: bool, turn: u16) -> HostileMessage {
    // In either dialect these are its own to use.
    match turn {
        0 => HostileMessage::Connect { id: 1, target: target(random) },
        1 => HostileMessage::Connect { id: 3, target: target(random) },
        _ => {
            // Its own, and those of the remote.
            let remote_ids = if base { -2 } else { 2 };
            let id = random.weighted(&[(2, 1), (2, 3), (1, remote_ids), (1, 2 * remote_ids)]);
            let message = HostileMessage::Data { id, bytes: if base { 5000 } else { 900 } };
            flood(random, 40, message)
        }
    }
}

fn ask(random: &mut Random<'_>, base: bool, turn: u16) -> HostileMessage {
    match (turn, random.range(0..=3)) {
        (0, _) => HostileMessage::Deaf,
        (_, 0) => {
            let message = messages(random, base);
            flood(random, 60, message)
        }
        (_, 1 | 2) if base => {
            // Of a connection that never was: each wants an answer.
            let id = i64::from(random.range(100..=500));
            flood(random, 400, HostileMessage::Pause { id })
        }
        (_, 1) => flood(random, 60, HostileMessage::Ping),
        _ => {
            let id = i64::from(turn) * 1000 + 1;
            flood(random, 400, HostileMessage::Connect { id, target: "tcp/nowhere:1".into() })
        }
    }
}

fn flood(random: &mut Random<'_>, most: u32, message: HostileMessage) -> HostileMessage {
    let count = u16::try_from(random.range(2..=most)).unwrap_or(u16::MAX);
    HostileMessage::Flood { count, message: Box::new(message) }
}

fn message(random: &mut Random<'_>, base: bool) -> HostileMessage {
    match random.range(0..=99) {
        0..=3 => HostileMessage::Deaf,
        4 => HostileMessage::Length { length: length(random) },
        5..=7 => HostileMessage::Raw { bytes: raw(random) },
        8..=14 => {
            let message = messages(random, base);
            flood(random, 60, message)
        }
        _ => messages(random, base),
    }
}

/// A message of the protocol, which may be out of order.
fn messages(random: &mut Random<'_>, base: bool) -> HostileMessage {
    let id = id(random);
    // The other dialect's words are as good as any others.
    let base = base != random.percent(5);
    match (random.range(0..=13), base) {
        (0..=3, _) => HostileMessage::Connect { id, target: target(random) },
        (4..=6, _) => {
            HostileMessage::Data { id, bytes: random.weighted(&[(4, 10), (2, 900), (1, 5000)]) }
        }
        (7, false) => HostileMessage::Opened { id },
        (8, false) => HostileMessage::Finish { id },
        (9, false) => HostileMessage::Reset { id, code: random.range(0..=12).into() },
        (10, false) => HostileMessage::Credit { id, bytes: random.any() >> random.range(1..=63) },
        (11, false) => sync(random),
        (12, false) => match random.range(0..=3) {
            0 => HostileMessage::Ping,
            1 => HostileMessage::Pong,
            2 => {
                let window = random.any() >> random.range(1..=63);
                HostileMessage::Settings { window, max_data: 1024, max_connections: 4 }
            }
            _ => HostileMessage::GoAway { code: random.range(0..=6).into() },
        },
        (7 | 8, true) => HostileMessage::Error { id, text: text(random) },
        (9, true) => HostileMessage::Pause { id },
        (10, true) => HostileMessage::Resume { id },
        (11, true) => HostileMessage::SyncConnections { ids: ids(random) },
        (12, true) => HostileMessage::Ping,
        _ => HostileMessage::AddClient { key: format!("client{}", random.range(0..=4)) },
    }
}

/// Ids that the remote may know, and others.
fn id(random: &mut Random<'_>) -> i64 {
    match random.range(0..=19) {
        0 => 0,
        1 => random.any().cast_signed(),
        _ => {
            let number = i64::from(random.range(1..=5));
            if random.percent(50) { number } else { -number }
        }
    }
}

fn ids(random: &mut Random<'_>) -> Vec<i64> {
    (0..random.times(70, 8)).map(|_| id(random)).collect()
}

fn sync(random: &mut Random<'_>) -> HostileMessage {
    HostileMessage::Sync { newest: id(random), ids: ids(random) }
}

fn target(random: &mut Random<'_>) -> String {
    match random.range(0..=9) {
        0 => String::new(),
        1 => "no address".into(),
        2 => format!("tcp/{}", "x".repeat(random.range(200..=1500) as usize)),
        _ => StreamId(u16::from(random.below(4))).target(),
    }
}

fn text(random: &mut Random<'_>) -> String {
    if random.percent(60) { "EOF".into() } else { "x".repeat(random.range(0..=1500) as usize) }
}

fn length(random: &mut Random<'_>) -> u64 {
    random.weighted(&[(1, 0), (1, 65_537), (1, u64::MAX)]) | random.any() >> random.range(33..=63)
}

fn raw(random: &mut Random<'_>) -> Vec<u8> {
    (0..random.times(85, 40)).map(|_| random.byte()).collect()
}
