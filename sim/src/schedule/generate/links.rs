//! Faults of links: cuts, partitions, holds, delays.

use super::dice::{Actor, Bag, Dice};
use super::swarm::Swarm;
use super::timeline::Timeline;
use crate::schedule::{Action, Cast, Host};

/// What happens to the links, each on its own.
pub(super) fn act(bag: Bag<'_>, swarm: &Swarm, cast: &Cast, timeline: &mut Timeline) {
    let kinds = kinds(swarm);
    if kinds.is_empty() {
        return;
    }
    for (number, agent) in (0..).zip(&cast.agents) {
        let dice = bag.dice(Actor::Link(number));
        let ends = (Host::Agent(number), Host::Server(agent.home));
        break_link(dice, &kinds, swarm, ends, timeline);
    }
    if cast.servers == 2 {
        let dice = bag.dice(Actor::Link(u8::MAX));
        break_link(dice, &kinds, swarm, (Host::Server(0), Host::Server(1)), timeline);
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
    mut dice: Dice<'_>,
    kinds: &[(u32, Kind)],
    swarm: &Swarm,
    (a, b): (Host, Host),
    timeline: &mut Timeline,
) {
    let mut now = 0;
    for _ in 0..dice.times(65, 6) {
        now += dice.range(0..=swarm.horizon / 2);
        let until = now + dice.range(0..=swarm.horizon);
        match dice.weighted(kinds) {
            Kind::Partition => {
                timeline.at(now, Action::Partition { a, b });
                timeline.at(until, Action::Repair { a, b });
            }
            Kind::OneWay => {
                let (from, to) = if dice.percent(50) { (a, b) } else { (b, a) };
                timeline.at(now, Action::PartitionOneWay { from, to });
                timeline.at(until, Action::Repair { a, b });
            }
            Kind::Hold => {
                timeline.at(now, Action::Hold { a, b });
                timeline.at(until, Action::Release { a, b });
            }
            Kind::Latency => {
                let millis = dice.range(0..=50);
                timeline.at(now, Action::Latency { a, b, millis });
            }
            Kind::Cut => {
                // Peer servers connect to each other both ways.
                let by = if matches!(a, Host::Server(_)) && dice.percent(50) { b } else { a };
                timeline.at(now, Action::Cut { by });
                continue;
            }
        }
        now = until;
    }
}
