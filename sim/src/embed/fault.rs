//! The faults of a schedule, for hosts of any name.

use turmoil::Sim;

use super::stage::Stage;
use crate::schedule::{Action, Host, millis};
use crate::turmoil_world::simulation::heal_links;

/// Does what a step says, if it is a fault of hosts that are there.
pub(super) fn perform(sim: &mut Sim<'_>, stage: &Stage, action: &Action) {
    match *action {
        Action::Crash { host } => {
            if let Some(name) = stage.name(host) {
                crash(sim, stage, host, name);
            }
        }
        Action::Bounce { host } => {
            if let Some(name) = stage.name(host) {
                crash(sim, stage, host, name);
                start(sim, stage, host, name);
            }
        }
        Action::Cut { by } => {
            let lines = stage.lines_by(by);
            lines.iter().for_each(|line| line.cut());
        }
        Action::Partition { a, b } => link(stage, a, b, |a, b| sim.partition(a, b)),
        Action::PartitionOneWay { from, to } => {
            link(stage, from, to, |from, to| sim.partition_oneway(from, to));
        }
        Action::Repair { a, b } => link(stage, a, b, |a, b| sim.repair(a, b)),
        Action::Hold { a, b } => link(stage, a, b, |a, b| sim.hold(a, b)),
        Action::Release { a, b } => link(stage, a, b, |a, b| sim.release(a, b)),
        Action::Latency { a, b, millis: latency } => {
            link(stage, a, b, |a, b| sim.set_link_latency(a, b, millis(latency)));
        }
        // The rest is what the program does.
        _ => {}
    }
}

/// Nothing is broken any more, and whoever has crashed starts.
pub(super) fn heal(sim: &mut Sim<'_>, stage: &Stage) {
    let names: Vec<_> = stage.hosts().map(|(_, name)| name).collect();
    heal_links(sim, &names);
    for (host, name) in stage.hosts() {
        if stage.is_crashed(host) {
            start(sim, stage, host, name);
        }
    }
}

fn link(stage: &Stage, a: Host, b: Host, act: impl FnOnce(&str, &str)) {
    if let (Some(a), Some(b)) = (stage.name(a), stage.name(b)) {
        act(a, b);
    }
}

fn crash(sim: &mut Sim<'_>, stage: &Stage, host: Host, name: &str) {
    sim.crash(name);
    stage.crashed(host);
}

fn start(sim: &mut Sim<'_>, stage: &Stage, host: Host, name: &str) {
    stage.starts(host);
    sim.bounce(name);
}
