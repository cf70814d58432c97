//! Limits, times and link properties of a generated schedule.

use super::dice::{Actor, Bag, Dice};
use super::swarm::Swarm;
use crate::schedule::{Hosts, Knobs, Limits, Link, Timing};

pub(super) fn draw(bag: Bag<'_>, swarm: &Swarm) -> Knobs {
    let dice = &mut bag.dice(Actor::Knobs);
    let mut knobs = Knobs {
        server: limits(dice),
        agent: limits(dice),
        timing: timing(dice),
        link: link(dice, swarm),
        hosts: hosts(&mut bag.dice(Actor::Hosts)),
    };
    if swarm.crowd.is_some() {
        (knobs.server.max_dials, knobs.agent.max_dials) = (32, 32);
        (knobs.server.max_connections, knobs.agent.max_connections) = (64, 64);
    }
    if swarm.crawl {
        crawl(&mut bag.dice(Actor::Crawl), &mut knobs);
    }
    knobs
}

/// Links so slow that their queues take longer to drain than an end bears without a sign of life, and
/// agents that bear less than their servers.
fn crawl(dice: &mut Dice<'_>, knobs: &mut Knobs) {
    let Knobs { server, agent, timing, link, .. } = knobs;
    (server.initial_window, agent.initial_window) = (12_000, 12_000);
    link.rate = dice.weighted(&[(2, 6), (2, 12), (1, 40)]);
    // A third of it takes longer than a transport may take nothing.
    link.capacity = 65_536.min(4 * link.rate * timing.stall);
    // A list of an end of the base dialect takes most of a second.
    timing.reconcile += 2000;
    if dice.percent(60) {
        // A ping every 100 ms, as often as anybody may ask for, and the longest way there.
        timing.agent_silence = 200 + 2 * link.max_latency + dice.range(0..=100);
    }
}

/// So small that they are met. What is told to the remote has least values in the protocol.
fn limits(dice: &mut Dice<'_>) -> Limits {
    let pause_above = dice.range(500..=4000);
    let unread_cap = 66_000 + dice.range(0..=60_000);
    Limits {
        // Payloads from 4096 bytes on are not copied, so some must be longer.
        max_data: if dice.percent(70) { dice.range(1024..=3000) } else { dice.range(4000..=9000) },
        max_connections: dice.weighted(&[(1, 2), (2, 4), (6, 64)]),
        max_dials: dice.weighted(&[(1, 1), (2, 3), (6, 32)]),
        max_queued_control: 100,
        initial_window: dice.weighted(&[(3, 1024), (2, 3000), (1, 12_000)]),
        max_window: dice.range(1024..=16_384),
        window_budget: dice.range(0..=16_384),
        send_buffer: if dice.percent(50) { dice.range(100..=6000) } else { 20_000 },
        send_budget: dice.range(100..=20_000),
        pause_above,
        resume_below: dice.range(0..=pause_above / 2),
        unread_cap,
        unread_budget: unread_cap * dice.range(1..=3),
    }
}

fn timing(dice: &mut Dice<'_>) -> Timing {
    // Mostly so long that there is more to see than pings.
    let ping_interval = dice.weighted(&[(1, 30), (3, 150), (4, 400)]) + dice.range(0..=50);
    // Two of them and the longest way there and back.
    let silence = 2 * ping_interval + 120 + dice.range(0..=200);
    Timing {
        ping_interval,
        silence,
        agent_silence: 0,
        stall: silence,
        dial: dice.range(80..=250),
        accept: dice.range(40..=200),
        linger: dice.range(50..=200),
        // A list in the base dialect has hundreds of ids: mostly seldom.
        reconcile: dice.weighted(&[(1, 60), (2, 250), (4, 900)]) + dice.range(0..=50),
        reconnect: dice.range(10..=80),
        handshake: 120 + dice.range(0..=100),
    }
}

fn link(dice: &mut Dice<'_>, swarm: &Swarm) -> Link {
    let most = if swarm.latency { dice.weighted(&[(3, 5), (2, 20), (1, 40)]) } else { 1 };
    Link {
        min_latency: dice.range(0..=most / 2),
        max_latency: most,
        portion: dice.weighted(&[(4, 16_384), (2, 1500), (1, 300), (1, 40)]),
        capacity: dice.weighted(&[(4, 65_536), (2, 8192), (1, 600)]),
        rate: 0,
    }
}

fn hosts(dice: &mut Dice<'_>) -> Hosts {
    Hosts {
        // The shorter ones cost more and show little else.
        tick: dice.weighted(&[(3, 10), (1, 5)]),
        patient: dice.percent(50),
        shutdown: dice.weighted(&[(1, 0), (1, 50), (1, 100)]),
        agents_first: dice.percent(50),
        lose_power: dice.percent(20),
        max_handshakes: 0,
        stranger_addresses: 0,
    }
}
