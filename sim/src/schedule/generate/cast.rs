//! The servers and agents of a generated schedule.

use super::dice::Dice;
use super::swarm::{Dialects, Swarm};
use crate::schedule::{Agent, AgentKind, Cast, TargetSide, Transport};

pub(super) fn draw(dice: &mut Dice<'_>, swarm: &Swarm) -> Cast {
    let mut agents: Vec<_> = (0..swarm.agents).map(|_| honest(dice, swarm)).collect();
    if swarm.hostile {
        let base = dice.percent(40);
        let introduces_itself = !base && dice.percent(85);
        agents.push(agent(dice, swarm, AgentKind::Hostile { base, introduces_itself }));
    }
    Cast { servers: swarm.servers, agents }
}

fn honest(dice: &mut Dice<'_>, swarm: &Swarm) -> Agent {
    let base = match swarm.dialects {
        Dialects::Extended => false,
        Dialects::Base => true,
        Dialects::Mixed => dice.percent(50),
    };
    let kind = match base {
        false => AgentKind::Watertight,
        true => dice.weighted(&[(1, AgentKind::Base), (1, AgentKind::Remotedialer)]),
    };
    agent(dice, swarm, kind)
}

fn agent(dice: &mut Dice<'_>, swarm: &Swarm, kind: AgentKind) -> Agent {
    let byte_stream = dice.percent(40) && !kind.is_base();
    Agent {
        home: dice.below(swarm.servers),
        kind,
        transport: if byte_stream { Transport::ByteStream } else { Transport::WebSocket },
        targets: dice.weighted(&[(1, TargetSide::Handler), (1, TargetSide::Dialer)]),
    }
}
