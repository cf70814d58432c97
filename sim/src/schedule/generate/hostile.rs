//! Messages of hostile agents, in runs of one habit.

use super::dice::{Actor, Bag, Dice};
use super::swarm::Swarm;
use super::timeline::Timeline;
use crate::schedule::{Action, AgentKind, Cast, HostileMessage, Knobs, StreamId};

/// What the hostile agents say.
pub(super) fn act(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    for (number, agent) in (0..).zip(&cast.agents) {
        if let AgentKind::Hostile { base, .. } = agent.kind {
            let dice = bag.dice(Actor::Hostile(number));
            // What it says before it is connected, nobody hears.
            let from = 3 * knobs.link.max_latency;
            talk(dice, swarm, (number, base), from, timeline);
        }
    }
}

fn talk(
    mut dice: Dice<'_>,
    swarm: &Swarm,
    (agent, base): (u8, bool),
    from: u32,
    timeline: &mut Timeline,
) {
    let habit = habit(&mut dice);
    let mut now = from;
    for turn in 0..1 + dice.times(80, 20) {
        now += dice.range(0..=swarm.horizon / 6);
        let message = match habit {
            Habit::Random => message(&mut dice, base),
            Habit::Lists => list(&mut dice, base, turn),
            Habit::Pours => pour(&mut dice, base, turn),
            Habit::Asks => ask(&mut dice, base, turn),
        };
        timeline.at(now, Action::Say { agent, message });
    }
}

/// What somebody hostile is after. Chance alone seldom does the same thing long enough.
#[derive(Clone, Copy)]
enum Habit {
    /// Anything.
    Random,
    /// Says which connections there are, wrongly.
    Lists,
    /// Opens connections and sends without end.
    Pours,
    /// Makes the remote answer, and reads no answer.
    Asks,
}

fn habit(dice: &mut Dice<'_>) -> Habit {
    let habits = [(6, Habit::Random), (1, Habit::Lists), (1, Habit::Pours), (2, Habit::Asks)];
    dice.weighted(&habits)
}

fn list(dice: &mut Dice<'_>, base: bool, turn: u16) -> HostileMessage {
    if turn == 0 || dice.percent(20) {
        let id = i64::from(turn) + 1;
        return HostileMessage::Connect { id, target: target(dice) };
    }
    let ids = if dice.percent(70) { Vec::new() } else { ids(dice) };
    if base {
        HostileMessage::SyncConnections { ids }
    } else {
        HostileMessage::Sync { newest: dice.weighted(&[(1, 2), (1, 6), (1, 1 << 40)]), ids }
    }
}

fn pour(dice: &mut Dice<'_>, base: bool, turn: u16) -> HostileMessage {
    // In either dialect these are its own to use.
    match turn {
        0 => HostileMessage::Connect { id: 1, target: target(dice) },
        1 => HostileMessage::Connect { id: 3, target: target(dice) },
        _ => {
            // Its own, and those of the remote.
            let theirs = if base { -2 } else { 2 };
            let id = dice.weighted(&[(2, 1), (2, 3), (1, theirs), (1, 2 * theirs)]);
            let message = HostileMessage::Data { id, bytes: if base { 5000 } else { 900 } };
            flood(dice, 40, message)
        }
    }
}

fn ask(dice: &mut Dice<'_>, base: bool, turn: u16) -> HostileMessage {
    match (turn, dice.range(0..=3)) {
        (0, _) => HostileMessage::Deaf,
        (_, 0) => {
            let message = speech(dice, base);
            flood(dice, 60, message)
        }
        (_, 1 | 2) if base => {
            // Of a connection that never was: each wants an answer.
            let id = i64::from(dice.range(100..=500));
            flood(dice, 400, HostileMessage::Pause { id })
        }
        (_, 1) => flood(dice, 60, HostileMessage::Ping),
        _ => {
            let id = i64::from(turn) * 1000 + 1;
            flood(dice, 400, HostileMessage::Connect { id, target: "tcp/nowhere:1".into() })
        }
    }
}

fn flood(dice: &mut Dice<'_>, most: u32, message: HostileMessage) -> HostileMessage {
    let count = u16::try_from(dice.range(2..=most)).unwrap_or(u16::MAX);
    HostileMessage::Flood { count, message: Box::new(message) }
}

fn message(dice: &mut Dice<'_>, base: bool) -> HostileMessage {
    match dice.range(0..=99) {
        0..=3 => HostileMessage::Deaf,
        4 => HostileMessage::Length { length: length(dice) },
        5..=7 => HostileMessage::Raw { bytes: raw(dice) },
        8..=14 => {
            let message = speech(dice, base);
            flood(dice, 60, message)
        }
        _ => speech(dice, base),
    }
}

/// A message of the protocol, which may be out of place.
fn speech(dice: &mut Dice<'_>, base: bool) -> HostileMessage {
    let id = id(dice);
    // The other dialect's words are as good as any others.
    let base = base != dice.percent(5);
    match (dice.range(0..=13), base) {
        (0..=3, _) => HostileMessage::Connect { id, target: target(dice) },
        (4..=6, _) => {
            HostileMessage::Data { id, bytes: dice.weighted(&[(4, 10), (2, 900), (1, 5000)]) }
        }
        (7, false) => HostileMessage::Opened { id },
        (8, false) => HostileMessage::Finish { id },
        (9, false) => HostileMessage::Reset { id, code: dice.range(0..=12).into() },
        (10, false) => HostileMessage::Credit { id, bytes: dice.any() >> dice.range(1..=63) },
        (11, false) => sync(dice),
        (12, false) => match dice.range(0..=3) {
            0 => HostileMessage::Ping,
            1 => HostileMessage::Pong,
            2 => {
                let window = dice.any() >> dice.range(1..=63);
                HostileMessage::Settings { window, max_data: 1024, max_connections: 4 }
            }
            _ => HostileMessage::GoAway { code: dice.range(0..=6).into() },
        },
        (7 | 8, true) => HostileMessage::Error { id, text: text(dice) },
        (9, true) => HostileMessage::Pause { id },
        (10, true) => HostileMessage::Resume { id },
        (11, true) => HostileMessage::SyncConnections { ids: ids(dice) },
        (12, true) => HostileMessage::Ping,
        _ => HostileMessage::AddClient { key: format!("client{}", dice.range(0..=4)) },
    }
}

/// Ids that the remote may know, and others.
fn id(dice: &mut Dice<'_>) -> i64 {
    match dice.range(0..=19) {
        0 => 0,
        1 => dice.any().cast_signed(),
        _ => {
            let number = i64::from(dice.range(1..=5));
            if dice.percent(50) { number } else { -number }
        }
    }
}

fn ids(dice: &mut Dice<'_>) -> Vec<i64> {
    (0..dice.times(70, 8)).map(|_| id(dice)).collect()
}

fn sync(dice: &mut Dice<'_>) -> HostileMessage {
    HostileMessage::Sync { newest: id(dice), ids: ids(dice) }
}

fn target(dice: &mut Dice<'_>) -> String {
    match dice.range(0..=9) {
        0 => String::new(),
        1 => "no address".into(),
        2 => format!("tcp/{}", "x".repeat(dice.range(200..=1500) as usize)),
        _ => StreamId(u16::from(dice.below(4))).target(),
    }
}

fn text(dice: &mut Dice<'_>) -> String {
    if dice.percent(60) { "EOF".into() } else { "x".repeat(dice.range(0..=1500) as usize) }
}

fn length(dice: &mut Dice<'_>) -> u64 {
    dice.weighted(&[(1, 0), (1, 65_537), (1, u64::MAX)]) | dice.any() >> dice.range(33..=63)
}

fn raw(dice: &mut Dice<'_>) -> Vec<u8> {
    (0..dice.times(85, 40)).map(|_| dice.byte()).collect()
}
