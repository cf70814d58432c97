//! Faults of hosts and links.

use super::random::{Bag, Random, RandomStream, Timeline};
use super::swarm::Swarm;
use crate::schedule::{Action, Cast, Host, Knobs};

/// What happens to the hosts and to the sessions of the agents.
pub(super) fn act_on_hosts(
    bag: Bag<'_>,
    swarm: &Swarm,
    cast: &Cast,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    let honest = (0_u8..).zip(&cast.agents).filter(|(_, agent)| agent.kind.is_honest());
    let agents: Vec<_> = honest.map(|(number, _)| number).collect();
    if swarm.crashes || swarm.restarts {
        let servers = (0..cast.servers).map(Host::Server);
        let hosts = servers.chain(agents.iter().copied().map(Host::Agent));
        for (number, host) in (0_u8..).zip(hosts) {
            let random = bag.random(RandomStream::Host(number));
            process(random, swarm, host, knobs, timeline);
        }
    }
    for agent in agents {
        sessions(bag.random(RandomStream::Agent(agent)), swarm, agent, timeline);
    }
    if swarm.idle {
        let mut random = bag.random(RandomStream::Host(u8::MAX));
        timeline.at(swarm.horizon + random.range(0..=1000), Action::Idle);
    }
}

/// A process crashes and comes back, or shuts down and comes back.
fn process(
    mut random: Random<'_>,
    swarm: &Swarm,
    host: Host,
    knobs: &Knobs,
    timeline: &mut Timeline,
) {
    let mut now = 0;
    for _ in 0..random.times(45, 3) {
        now += random.range(0..=swarm.horizon);
        let back = now + random.range(0..=swarm.horizon / 2);
        let crashes = swarm.crashes && (!swarm.restarts || random.percent(50));
        if !crashes {
            let within = random.range(0..=100);
            timeline.at(now, Action::Restart { host, within });
            now += within + knobs.timing.silence;
        } else if random.percent(30) {
            timeline.at(now, Action::Bounce { host });
        } else {
            timeline.at(now, Action::Crash { host });
            timeline.at(back, Action::Bounce { host });
            now = back;
        }
    }
}

/// An agent's session is replaced, ended or drained from outside.
fn sessions(mut random: Random<'_>, swarm: &Swarm, agent: u8, timeline: &mut Timeline) {
    let kinds = [swarm.replacements, swarm.disconnects, swarm.drains];
    let kinds: Vec<_> =
        (0_u8..).zip(kinds).filter(|(_, on)| *on).map(|(kind, _)| (1, kind)).collect();
    if kinds.is_empty() {
        return;
    }
    let mut now = 0;
    for _ in 0..random.times(60, 4) {
        now += random.range(0..=swarm.horizon);
        let action = match random.weighted(&kinds) {
            0 => Action::Replace { agent },
            1 => Action::Disconnect { agent },
            _ => Action::Drain {
                agent,
                by_server: random.percent(50),
                within: random.range(0..=swarm.horizon),
            },
        };
        timeline.at(now, action);
    }
}

/// What happens to the links, each on its own.
pub(super) fn act_on_links(bag: Bag<'_>, swarm: &Swarm, cast: &Cast, timeline: &mut Timeline) {
    let kinds = kinds(swarm);
    if kinds.is_empty() {
        return;
    }
    for (number, agent) in (0..).zip(&cast.agents) {
        let random = bag.random(RandomStream::LinkKnobs(number));
        let ends = (Host::Agent(number), Host::Server(agent.home));
        break_link(random, &kinds, swarm, ends, timeline);
    }
    if cast.servers == 2 {
        let random = bag.random(RandomStream::LinkKnobs(u8::MAX));
        break_link(random, &kinds, swarm, (Host::Server(0), Host::Server(1)), timeline);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Partition,
    OneWay,
    Hold,
    Cut,
    Latency,
}

fn kinds(swarm: &Swarm) -> Vec<(u32, Kind)> {
    let all = [
        (swarm.partitions, Kind::Partition),
        (swarm.one_way, Kind::OneWay),
        (swarm.holds, Kind::Hold),
        (swarm.cuts, Kind::Cut),
        (swarm.latency_changes, Kind::Latency),
    ];
    all.into_iter().filter(|(on, _)| *on).map(|(_, kind)| (1, kind)).collect()
}

fn break_link(
    mut random: Random<'_>,
    kinds: &[(u32, Kind)],
    swarm: &Swarm,
    (a, b): (Host, Host),
    timeline: &mut Timeline,
) {
    let mut now = 0;
    for _ in 0..random.times(65, 6) {
        now += random.range(0..=swarm.horizon / 2);
        let until = now + random.range(0..=swarm.horizon);
        match random.weighted(kinds) {
            Kind::Partition => {
                timeline.at(now, Action::Partition { a, b });
                timeline.at(until, Action::Repair { a, b });
            }
            Kind::OneWay => {
                let (from, to) = if random.percent(50) { (a, b) } else { (b, a) };
                timeline.at(now, Action::PartitionOneWay { from, to });
                timeline.at(until, Action::Repair { a, b });
            }
            Kind::Hold => {
                timeline.at(now, Action::Hold { a, b });
                timeline.at(until, Action::Release { a, b });
            }
            Kind::Latency => {
                let millis = random.range(0..=50);
                timeline.at(now, Action::Latency { a, b, millis });
            }
            Kind::Cut => {
                // Peer servers connect to each other in both directions.
                let by = if matches!(a, Host::Server(_)) && random.percent(50) { b } else { a };
                timeline.at(now, Action::Cut { by });
                continue;
            }
        }
        now = until;
    }
}
