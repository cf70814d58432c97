//! The admission of sockets: how long one may be without a session, and how long an agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::environment::Environment;
use super::plan::{RunPlan, touches_no_session};
use crate::schedule::{Action, Host, Opening};

/// The timeout of a socket's first byte: the product's.
const FIRST_BYTE: Duration = Duration::from_secs(4);

/// The delay until the end of a socket is noticed: a tick or two, and the time between two checks.
const LATE: Duration = Duration::from_millis(60);

/// The first address of unauthenticated remotes: the network of benchmarks, from which turmoil allocates
/// none.
const NETWORK: u32 = 0xc612_0000;

/// One socket of an unauthenticated remote, as long as it is open.
pub(super) struct Visit<'a> {
    env: &'a Environment,
    number: u64,
    since: Duration,
    /// How long it may stay without a session.
    allowed: Duration,
}

impl<'a> Visit<'a> {
    pub(super) fn begin(env: &'a Environment, number: u64, opening: &Opening) -> Self {
        let (since, handshake) = (env.recorder.now(), env.plan.handshake());
        let allowed = match opening {
            Opening::Silence => FIRST_BYTE.min(handshake),
            _ => handshake,
        };
        if !matches!(opening, Opening::Frames { .. }) {
            let due = since + allowed + LATE + env.plan.crossing();
            env.remotes().visit_begins(number, due);
        }
        Self { env, number, since, allowed }
    }

    /// Whether its time is over, roughly: the server counts from an earlier moment.
    pub(super) fn ran_out(&self) -> bool {
        2 * self.env.recorder.now().saturating_sub(self.since) > self.allowed
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.env.remotes().visit_ends(self.number);
    }
}

/// The address that a server sees. Unauthenticated remotes have many.
pub(super) fn address_of(plan: &RunPlan, by: Host, remote: SocketAddr) -> SocketAddr {
    if by != Host::Unauthenticated {
        return remote;
    }
    let addresses = plan.schedule.knobs.hosts.unauthenticated_addresses.max(1);
    // turmoil allocates ports one after the other.
    let number = u32::from(remote.port()) % addresses;
    SocketAddr::new(Ipv4Addr::from(NETWORK + number).into(), remote.port())
}

/// Whether a server has as many sockets without a session as it runs handshakes at once.
pub(super) fn is_full_of_handshakes(env: &Environment, server: u8) -> bool {
    let most = env.plan.schedule.knobs.hosts.max_handshakes as usize;
    let handshakes = env.with_host(Host::Server(server), |state| state.handshakes()).unwrap_or(0);
    most > 0 && handshakes >= most
}

/// How long an agent may be without a session, and from when on: `None` where anything but unauthenticated
/// remotes may keep it out.
fn limit(env: &Environment) -> Option<(Duration, Duration)> {
    let plan = &env.plan;
    let knobs = &plan.schedule.knobs;
    let by_remotes_only = |action: &Action| {
        touches_no_session(action)
            || matches!(
                action,
                Action::Disconnect { .. }
                    | Action::Cut { by: Host::Agent(_) }
                    | Action::Impersonate { .. }
            )
    };
    let connection = knobs.connection();
    if connection > plan.handshake()
        || env.ends_sessions()
        || env.shuts_down()
        || !plan.schedule.steps.iter().all(|step| by_remotes_only(&step.action))
    {
        return None;
    }
    let attempt = plan.handshake() + plan.reconnect().max;
    let last = env.remotes().last();
    if last.is_none() || !has_handshakes_for_all(plan) {
        // Handshakes that have begun end first, the agent's own attempt as well.
        return Some((3 * attempt + LATE, last.unwrap_or_default()));
    }
    // No timeout has to pass for it, however long a handshake may take.
    Some((plan.reconnect().max + connection + LATE, Duration::ZERO))
}

/// Whether every source may run a handshake, and one of them two.
fn has_handshakes_for_all(plan: &RunPlan) -> bool {
    let hosts = &plan.schedule.knobs.hosts;
    let others = plan.schedule.cast.agents.len() + usize::from(plan.schedule.cast.servers) - 1;
    let sources = others + hosts.unauthenticated_addresses.max(1) as usize;
    let is_wide = hosts.max_handshakes == 0 || hosts.max_handshakes as usize > sources;
    is_wide && !plan.has_impostors()
}

/// An agent that could have a session and has had none for too long.
pub(super) fn kept_out(env: &Environment) -> Option<String> {
    let (allowed, from) = limit(env)?;
    let moment = env.recorder.now().checked_sub(allowed)?;
    env.plan.honest_agents().find_map(|agent| {
        let host = Host::Agent(agent);
        let since = env.with_host(host, |state| state.sessions.down_since())??;
        let late = since.max(from) < moment;
        late.then(|| format!("{host} has had no session since {since:?}"))
    })
}
