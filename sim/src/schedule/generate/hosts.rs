//! Crashes, restarts and shutdowns of hosts; replaced and drained sessions.

use super::dice::{Actor, Bag, Dice};
use super::swarm::Swarm;
use super::timeline::Timeline;
use crate::schedule::{Action, Cast, Host, Knobs};

/// What happens to the hosts and to the sessions of the agents.
pub(super) fn act(
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
            let dice = bag.dice(Actor::Host(number));
            process(dice, swarm, host, knobs, timeline);
        }
    }
    for agent in agents {
        sessions(bag.dice(Actor::Agent(agent)), swarm, agent, timeline);
    }
    if swarm.idle {
        let mut dice = bag.dice(Actor::Host(u8::MAX));
        timeline.at(swarm.horizon + dice.range(0..=1000), Action::Idle);
    }
}

/// A process crashes and comes back, or shuts down and comes back.
fn process(mut dice: Dice<'_>, swarm: &Swarm, host: Host, knobs: &Knobs, timeline: &mut Timeline) {
    let mut now = 0;
    for _ in 0..dice.times(45, 3) {
        now += dice.range(0..=swarm.horizon);
        let back = now + dice.range(0..=swarm.horizon / 2);
        let crashes = swarm.crashes && (!swarm.restarts || dice.percent(50));
        if !crashes {
            let within = dice.range(0..=100);
            timeline.at(now, Action::Restart { host, within });
            now += within + knobs.timing.silence;
        } else if dice.percent(30) {
            timeline.at(now, Action::Bounce { host });
        } else {
            timeline.at(now, Action::Crash { host });
            timeline.at(back, Action::Bounce { host });
            now = back;
        }
    }
}

/// An agent's session is replaced, ended or drained from outside.
fn sessions(mut dice: Dice<'_>, swarm: &Swarm, agent: u8, timeline: &mut Timeline) {
    let kinds = [swarm.replacements, swarm.disconnects, swarm.drains];
    let kinds: Vec<_> =
        (0_u8..).zip(kinds).filter(|(_, on)| *on).map(|(kind, _)| (1, kind)).collect();
    if kinds.is_empty() {
        return;
    }
    let mut now = 0;
    for _ in 0..dice.times(60, 4) {
        now += dice.range(0..=swarm.horizon);
        let action = match dice.weighted(&kinds) {
            0 => Action::Replace { agent },
            1 => Action::Disconnect { agent },
            _ => Action::Drain {
                agent,
                by_server: dice.percent(50),
                within: dice.range(0..=swarm.horizon),
            },
        };
        timeline.at(now, action);
    }
}
