//! The conditions of a run: limits, times, links, hosts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watertight_core::SessionConfig;

/// The conditions of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// The limits of the servers' sessions.
    pub server: Limits,
    /// The limits of the agents' sessions.
    pub agent: Limits,
    /// How long all sessions wait for what.
    pub timing: Timing,
    /// The quality of the links.
    pub link: LinkKnobs,
    /// How the hosts run and stop.
    pub hosts: Hosts,
}

/// The limits of a session, so small that schedules meet them. See [`watertight_core::Limits`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is what the core's limit of that name is")]
pub struct Limits {
    pub max_data: u32,
    pub max_connections: u32,
    pub max_dials: u32,
    pub max_queued_control: u32,
    pub initial_window: u32,
    pub max_window: u32,
    pub window_budget: u32,
    pub send_buffer: u32,
    pub send_budget: u32,
    pub pause_above: u32,
    pub resume_below: u32,
    pub unread_cap: u32,
    pub unread_budget: u32,
}

/// The times of a session in milliseconds, scaled down so that a schedule stays short. See
/// [`watertight_core::Timing`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is what the core's time of that name is")]
pub struct Timing {
    pub ping_interval: u32,
    pub silence: u32,
    /// The silence of the agents' sessions, which ping by it; 0 is the same as that of the servers'.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub agent_silence: u32,
    pub stall: u32,
    pub dial: u32,
    pub accept: u32,
    pub linger: u32,
    pub reconcile: u32,
    /// The longest that an agent waits before it connects again.
    pub reconnect: u32,
    /// How long one attempt to connect, and one handshake, may take.
    pub handshake: u32,
}

/// The quality of the links between the hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkKnobs {
    /// Milliseconds that a message takes at least.
    pub min_latency: u32,
    /// Milliseconds that a message takes at most.
    pub max_latency: u32,
    /// The largest portion in which bytes arrive, so that messages come in pieces.
    pub portion: u32,
    /// Bytes that the sockets of one direction hold before the sender waits.
    pub capacity: u32,
    /// Bytes that each direction carries in a millisecond; 0 is any number. The links of ends that are not
    /// watertight's have no such limit: those ends take a slow link for a dead one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rate: u32,
}

/// How the hosts run and stop, where they run real programs: in the turmoil world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// Milliseconds that hosts run, one after the other, before messages between them are carried further.
    /// Within them a host's clock moves exactly from timer to timer.
    pub tick: u32,
    /// Sessions have no timeout of silence, unless something can be lost silently: no timer may be needed
    /// then. A timer that fires would hide a lost wake-up.
    pub patient: bool,
    /// Milliseconds within which all hosts shut down in the end.
    pub shutdown: u32,
    /// Agents shut down before their servers.
    pub agents_first: bool,
    /// Where the hosts would shut down while everything is still open, they lose power instead.
    pub lose_power: bool,
    /// How many handshakes may run at once in a server; 0 is as many as it takes by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_handshakes: u32,
    /// The number of addresses of unauthenticated remotes, in turn; 0 counts as 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unauthenticated_addresses: u32,
}

impl Limits {
    /// A session's configuration with these limits and `timing`.
    #[must_use]
    pub fn session(&self, timing: &Timing) -> SessionConfig {
        let mut config = SessionConfig::default();
        let limits = &mut config.limits;
        limits.max_data = self.max_data as usize;
        limits.max_connections = self.max_connections as usize;
        limits.max_dials = self.max_dials as usize;
        limits.max_queued_control = self.max_queued_control as usize;
        limits.initial_window = self.initial_window.into();
        limits.max_window = self.max_window.into();
        // Every growth is a trial.
        limits.free_window = limits.initial_window;
        limits.window_budget = self.window_budget.into();
        limits.send_buffer = self.send_buffer as usize;
        limits.send_budget = self.send_budget as usize;
        limits.base.pause_above = self.pause_above as usize;
        limits.base.resume_below = self.resume_below as usize;
        limits.base.unread_cap = self.unread_cap as usize;
        limits.base.unread_budget = self.unread_budget as usize;
        limits.max_message = 64 << 10;
        timing.apply(&mut config.timing);
        config.within_bounds()
    }
}

impl Timing {
    fn apply(&self, timing: &mut watertight_core::Timing) {
        timing.ping_interval = millis(self.ping_interval);
        timing.silence = millis(self.silence);
        timing.stall = millis(self.stall);
        timing.dial = millis(self.dial);
        timing.accept = millis(self.accept);
        timing.linger = millis(self.linger);
        timing.reconcile = millis(self.reconcile);
    }

    /// Those of the agents' sessions.
    #[must_use]
    pub fn of_agents(&self) -> Self {
        let silence = if self.agent_silence == 0 { self.silence } else { self.agent_silence };
        Self {
            silence,
            ping_interval: self.ping_interval.min((silence / 3).max(1)),
            ..self.clone()
        }
    }

    /// How long it may take, once everything is healed and no step is left, until nothing is open and every
    /// agent is connected again.
    #[must_use]
    pub fn to_quiet(&self) -> Duration {
        let longest =
            self.silence.max(self.agent_silence).max(self.stall).max(self.dial).max(self.accept);
        millis(longest + 2 * self.linger + self.reconcile + self.handshake + self.reconnect)
    }
}

impl Knobs {
    /// The time that an agent takes to connect if it is not kept out: there and back twice, a tick or two in
    /// each direction, and a check at both ends.
    pub(crate) const fn connection(&self) -> Duration {
        millis(4 * (self.link.max_latency + 2 * self.hosts.tick) + 60)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) const fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Milliseconds of a schedule as a duration.
pub(crate) const fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis as u64)
}

impl Limits {
    /// Enough of everything, so that none is met by accident: the values of a shrunk schedule where it needs
    /// no others.
    pub const USUAL: Self = Self {
        max_data: 4096,
        max_connections: 64,
        max_dials: 32,
        max_queued_control: 100,
        initial_window: 4096,
        max_window: 16_384,
        window_budget: 16_384,
        send_buffer: 20_000,
        send_budget: 20_000,
        pause_above: 4000,
        resume_below: 1000,
        unread_cap: 100_000,
        unread_budget: 200_000,
    };
}

impl Timing {
    /// In the order of real ones.
    pub const USUAL: Self = Self {
        ping_interval: 50,
        silence: 300,
        agent_silence: 0,
        stall: 300,
        dial: 150,
        accept: 150,
        linger: 150,
        reconcile: 200,
        reconnect: 50,
        handshake: 200,
    };
}

impl LinkKnobs {
    /// The longest that a message takes without faults, behind a queue that is full.
    #[must_use]
    pub fn slowest(&self) -> Duration {
        let queue = self.capacity.checked_div(self.rate).unwrap_or(0);
        millis(self.max_latency.max(self.min_latency) + queue)
    }

    /// Quick and wide.
    pub const USUAL: Self =
        Self { min_latency: 0, max_latency: 1, portion: 16_384, capacity: 65_536, rate: 0 };
}

impl Hosts {
    /// They stop at once, the servers first.
    pub const USUAL: Self = Self {
        tick: 10,
        patient: false,
        shutdown: 0,
        agents_first: false,
        lose_power: false,
        max_handshakes: 0,
        unauthenticated_addresses: 0,
    };
}
