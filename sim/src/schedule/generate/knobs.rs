//! The cast and the conditions of a schedule.

use super::random::{Bag, Random, RandomStream};
use super::swarm::{Dialects, Swarm};
use crate::schedule::{
    Agent, AgentKind, Cast, Hosts, Knobs, Limits, LinkKnobs, TargetSide, Timing, Transport,
};

pub(super) fn draw_knobs(bag: Bag<'_>, swarm: &Swarm) -> Knobs {
    let random = &mut bag.random(RandomStream::Knobs);
    let mut knobs = Knobs {
        server: limits(random),
        agent: limits(random),
        timing: timing(random),
        link: link(random, swarm),
        hosts: hosts(&mut bag.random(RandomStream::Hosts)),
    };
    if swarm.many.is_some() {
        (knobs.server.max_dials, knobs.agent.max_dials) = (32, 32);
        (knobs.server.max_connections, knobs.agent.max_connections) = (64, 64);
    }
    if swarm.crawl {
        crawl(&mut bag.random(RandomStream::Crawl), &mut knobs);
    }
    knobs
}

/// Links so slow that their queues take longer to drain than an end's timeout of silence, and agents with a
/// shorter one than their servers.
fn crawl(random: &mut Random<'_>, knobs: &mut Knobs) {
    let Knobs { server, agent, timing, link, .. } = knobs;
    (server.initial_window, agent.initial_window) = (12_000, 12_000);
    link.rate = random.weighted(&[(2, 6), (2, 12), (1, 40)]);
    // A third of it takes longer than a transport may take nothing.
    link.capacity = 65_536.min(4 * link.rate * timing.stall);
    // A list of an end of the base dialect takes most of a second.
    timing.reconcile += 2000;
    if random.percent(60) {
        // A ping every 100 ms, the shortest interval that a remote may ask for, and the longest path there.
        timing.agent_silence = 200 + 2 * link.max_latency + random.range(0..=100);
    }
}

/// So small that they are met. Limits that are announced to the remote have least values in the protocol.
fn limits(random: &mut Random<'_>) -> Limits {
    let pause_above = random.range(500..=4000);
    let unread_cap = 66_000 + random.range(0..=60_000);
    Limits {
        // Payloads from 4096 bytes on are not copied, so some must be longer.
        max_data: if random.percent(70) {
            random.range(1024..=3000)
        } else {
            random.range(4000..=9000)
        },
        max_connections: random.weighted(&[(1, 2), (2, 4), (6, 64)]),
        max_dials: random.weighted(&[(1, 1), (2, 3), (6, 32)]),
        max_queued_control: 100,
        initial_window: random.weighted(&[(3, 1024), (2, 3000), (1, 12_000)]),
        max_window: random.range(1024..=16_384),
        window_budget: random.range(0..=16_384),
        send_buffer: if random.percent(50) { random.range(100..=6000) } else { 20_000 },
        send_budget: random.range(100..=20_000),
        pause_above,
        resume_below: random.range(0..=pause_above / 2),
        unread_cap,
        unread_budget: unread_cap * random.range(1..=3),
    }
}

fn timing(random: &mut Random<'_>) -> Timing {
    // Mostly so long that there is more to see than pings.
    let ping_interval = random.weighted(&[(1, 30), (3, 150), (4, 400)]) + random.range(0..=50);
    // Two of them and the longest path there and back.
    let silence = 2 * ping_interval + 120 + random.range(0..=200);
    Timing {
        ping_interval,
        silence,
        agent_silence: 0,
        stall: silence,
        dial: random.range(80..=250),
        accept: random.range(40..=200),
        linger: random.range(50..=200),
        // A list in the base dialect has hundreds of ids: mostly seldom.
        reconcile: random.weighted(&[(1, 60), (2, 250), (4, 900)]) + random.range(0..=50),
        reconnect: random.range(10..=80),
        handshake: 120 + random.range(0..=100),
    }
}

fn link(random: &mut Random<'_>, swarm: &Swarm) -> LinkKnobs {
    let most = if swarm.latency { random.weighted(&[(3, 5), (2, 20), (1, 40)]) } else { 1 };
    LinkKnobs {
        min_latency: random.range(0..=most / 2),
        max_latency: most,
        portion: random.weighted(&[(4, 16_384), (2, 1500), (1, 300), (1, 40)]),
        capacity: random.weighted(&[(4, 65_536), (2, 8192), (1, 600)]),
        rate: 0,
    }
}

fn hosts(random: &mut Random<'_>) -> Hosts {
    Hosts {
        // The shorter ones cost more and show little else.
        tick: random.weighted(&[(3, 10), (1, 5)]),
        patient: random.percent(50),
        shutdown: random.weighted(&[(1, 0), (1, 50), (1, 100)]),
        agents_first: random.percent(50),
        lose_power: random.percent(20),
        max_handshakes: 0,
        unauthenticated_addresses: 0,
    }
}

pub(super) fn draw_cast(random: &mut Random<'_>, swarm: &Swarm) -> Cast {
    let mut agents: Vec<_> = (0..swarm.agents).map(|_| honest(random, swarm)).collect();
    if swarm.hostile {
        let base = random.percent(40);
        let introduces_itself = !base && random.percent(85);
        agents.push(agent(random, swarm, AgentKind::Hostile { base, introduces_itself }));
    }
    Cast { servers: swarm.servers, agents }
}

fn honest(random: &mut Random<'_>, swarm: &Swarm) -> Agent {
    let base = match swarm.dialects {
        Dialects::Extended => false,
        Dialects::Base => true,
        Dialects::Mixed => random.percent(50),
    };
    let kind = match base {
        false => AgentKind::Watertight,
        true => random.weighted(&[(1, AgentKind::Base), (1, AgentKind::Remotedialer)]),
    };
    agent(random, swarm, kind)
}

fn agent(random: &mut Random<'_>, swarm: &Swarm, kind: AgentKind) -> Agent {
    let byte_stream = random.percent(40) && !kind.is_base();
    Agent {
        home: random.below(swarm.servers),
        kind,
        transport: if byte_stream { Transport::ByteStream } else { Transport::WebSocket },
        targets: random.weighted(&[(1, TargetSide::Handler), (1, TargetSide::Dialer)]),
    }
}
