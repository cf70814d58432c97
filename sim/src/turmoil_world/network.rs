//! What happens to hosts and links from outside.

use std::sync::Arc;
use std::time::Duration;

use turmoil::Sim;

use super::environment::Environment;
use super::simulation::{heal_links, simulation};
use super::{agent_host, hostile, server_host, unauthenticated};
use crate::schedule::{Host, millis};

/// The simulated hosts and the links between them.
pub(super) struct Network {
    sim: Sim<'static>,
    env: Arc<Environment>,
}

impl Network {
    pub(super) fn new(env: &Arc<Environment>) -> Self {
        let mut sim = simulation(&env.plan.schedule, millis(env.plan.schedule.knobs.hosts.tick));
        for host in env.plan.hosts() {
            let running = Arc::clone(env);
            let is_honest = env.plan.is_honest(host);
            let name = host.to_string();
            match host {
                Host::Server(number) => sim.host(name.as_str(), move || {
                    server_host::run(Arc::clone(&running), number, running.open(host))
                }),
                Host::Agent(number) if is_honest => sim.host(name.as_str(), move || {
                    agent_host::run(Arc::clone(&running), number, running.open(host))
                }),
                Host::Agent(number) => {
                    sim.host(name.as_str(), move || {
                        hostile::run(Arc::clone(&running), number, running.open(host))
                    });
                }
                Host::Unauthenticated => sim.host(name.as_str(), move || {
                    unauthenticated::run(Arc::clone(&running), running.open(host))
                }),
            }
            env.set_address(sim.lookup(name.as_str()), host);
        }
        Self { sim, env: Arc::clone(env) }
    }

    /// Lets a tick pass everywhere.
    pub(super) fn tick(&mut self) -> Result<(), String> {
        let passed = self.sim.step().map(drop).map_err(|error| error.to_string());
        self.env.recorder.set_now(self.sim.elapsed());
        passed
    }

    pub(super) fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    pub(super) fn crash(&mut self, host: Host) {
        self.sim.crash(host.to_string());
    }

    pub(super) fn bounce(&mut self, host: Host) {
        self.sim.bounce(host.to_string());
    }

    pub(super) fn partition(&self, a: Host, b: Host) {
        self.sim.partition(a.to_string(), b.to_string());
    }

    pub(super) fn partition_one_way(&self, from: Host, to: Host) {
        self.sim.partition_oneway(from.to_string(), to.to_string());
    }

    pub(super) fn hold(&self, a: Host, b: Host) {
        self.sim.hold(a.to_string(), b.to_string());
    }

    /// Nothing more is lost or held back between the two.
    pub(super) fn heal(&self, a: Host, b: Host) {
        self.sim.release(a.to_string(), b.to_string());
    }

    /// The same everywhere, and nothing is slow.
    pub(super) fn heal_all(&self) {
        let hosts: Vec<_> = self.env.plan.hosts().map(|host| host.to_string()).collect();
        heal_links(&self.sim, &hosts);
    }

    pub(super) fn repair(&self, a: Host, b: Host) {
        self.sim.repair(a.to_string(), b.to_string());
    }

    pub(super) fn latency(&self, a: Host, b: Host, latency: Duration) {
        self.sim.set_link_latency(a.to_string(), b.to_string(), latency);
    }
}
