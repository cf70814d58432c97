//! Validation of schedules from files: bounds that keep a run finite in time and memory.

use std::ops::RangeInclusive;

use super::{Action, Host, HostileMessage, Knobs, Schedule, Timing};

/// Milliseconds of a time that is still a schedule's and not an age.
const HOUR: u32 = 3_600_000;
/// Milliseconds of the slowest link.
const SLOW: u32 = 10_000;
/// Sockets that unauthenticated remotes open at once. turmoil queues fewer than a thousand.
const SOCKETS: u32 = 200;
/// Bytes of a flood: it is in memory all at once, where it counts as the tunnel's.
const FLOOD: u32 = 1 << 20;

impl Schedule {
    /// Whether every host and stream of its steps exists: a file that is written by hand may be wrong.
    ///
    /// # Errors
    /// Who is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let servers = self.cast.servers;
        if !(1..=2).contains(&servers) {
            return Err(format!("{servers} servers: there is one, or there are two"));
        }
        if !(1..=20).contains(&self.cast.agents.len()) {
            return Err(format!("{} agents: there are 1 to 20", self.cast.agents.len()));
        }
        self.knobs.check()?;
        let lasts: u64 = self.steps.iter().map(|step| u64::from(step.after)).sum();
        if lasts > u64::from(HOUR) {
            return Err(format!("the steps take {lasts} ms: an hour at most"));
        }
        for agent in &self.cast.agents {
            self.check_host(Host::Server(agent.home))?;
        }
        self.steps.iter().try_for_each(|step| self.check_action(&step.action))
    }

    fn check_action(&self, action: &Action) -> Result<(), String> {
        match *action {
            Action::Dial { from, to, .. } => {
                self.check_host(from)?;
                self.check_host(Host::Agent(to))
            }
            Action::Send { agent, ref message } => {
                message.check()?;
                self.check_host(Host::Agent(agent))
            }
            Action::Replace { agent }
            | Action::Disconnect { agent }
            | Action::Drain { agent, .. } => self.check_host(Host::Agent(agent)),
            Action::Restart { host, .. }
            | Action::Crash { host }
            | Action::Bounce { host }
            | Action::Cut { by: host } => self.check_host(host),
            Action::Partition { a, b }
            | Action::PartitionOneWay { from: a, to: b }
            | Action::Repair { a, b }
            | Action::Hold { a, b }
            | Action::Release { a, b } => {
                self.check_host(a)?;
                self.check_host(b)
            }
            Action::Latency { a, b, millis } => {
                within("a latency", millis, 0..=SLOW)?;
                self.check_host(a)?;
                self.check_host(b)
            }
            Action::UnauthenticatedConnect { server, sockets, leave_after, again_for, .. } => {
                within("the sockets of unauthenticated remotes", sockets.into(), 1..=SOCKETS)?;
                within("the stay of unauthenticated remotes", leave_after.unwrap_or(0), 0..=HOUR)?;
                within("the time of unauthenticated remotes", again_for, 0..=HOUR)?;
                self.check_host(Host::Server(server))
            }
            Action::Impersonate { server, within: time, .. } => {
                within("an impersonation", time, 0..=HOUR)?;
                self.check_host(Host::Server(server))
            }
            Action::Write { .. }
            | Action::Read { .. }
            | Action::ReadAll { .. }
            | Action::Finish { .. }
            | Action::Reset { .. }
            | Action::Drop { .. }
            | Action::Idle => Ok(()),
        }
    }

    fn check_host(&self, host: Host) -> Result<(), String> {
        let there = match host {
            Host::Server(number) => number < self.cast.servers,
            Host::Agent(number) => usize::from(number) < self.cast.agents.len(),
            Host::Unauthenticated => false,
        };
        if there { Ok(()) } else { Err(format!("there is no {host} in the cast")) }
    }
}

impl Knobs {
    /// Whether a tunnel can live under these conditions.
    fn check(&self) -> Result<(), String> {
        self.timing.check()?;
        for limits in [&self.server, &self.agent] {
            within("max_connections", limits.max_connections, 1..=u32::MAX)?;
            within("max_dials", limits.max_dials, 1..=u32::MAX)?;
            within("max_queued_control", limits.max_queued_control, 1..=u32::MAX)?;
        }
        within("link.capacity", self.link.capacity, 1..=1 << 20)?;
        within("link.portion", self.link.portion, 1..=1 << 20)?;
        within("link.min_latency", self.link.min_latency, 0..=self.link.max_latency)?;
        // A handshake goes there and back.
        within("link.max_latency", self.link.max_latency, 0..=self.timing.handshake / 2)?;
        // A message of the largest size arrives within minutes.
        within("link.rate", self.link.rate, 0..=1 << 20)?;
        within("hosts.tick", self.hosts.tick, 1..=100)?;
        within(
            "hosts.unauthenticated_addresses",
            self.hosts.unauthenticated_addresses,
            0..=1 << 16,
        )?;
        within("hosts.shutdown", self.hosts.shutdown, 0..=HOUR)
    }
}

impl Timing {
    fn check(&self) -> Result<(), String> {
        within("timing.ping_interval", self.ping_interval, 1..=HOUR)?;
        within("timing.silence", self.silence, 1..=HOUR)?;
        within("timing.agent_silence", self.agent_silence, 0..=HOUR)?;
        within("timing.stall", self.stall, 1..=HOUR)?;
        within("timing.dial", self.dial, 1..=HOUR)?;
        within("timing.accept", self.accept, 1..=HOUR)?;
        within("timing.linger", self.linger, 1..=HOUR)?;
        within("timing.reconcile", self.reconcile, 1..=HOUR)?;
        within("timing.reconnect", self.reconnect, 1..=HOUR)?;
        within("timing.handshake", self.handshake, 1..=HOUR)
    }
}

impl HostileMessage {
    fn check(&self) -> Result<(), String> {
        let Self::Flood { count, message } = self else { return Ok(()) };
        match **message {
            Self::Flood { .. } => Err("a flood of floods".into()),
            Self::Data { bytes, .. } => {
                let most = FLOOD / u32::from(*count).max(1);
                within("the bytes of each message of a flood", bytes, 0..=most)
            }
            _ => Ok(()),
        }
    }
}

fn within(what: &str, number: u32, range: RangeInclusive<u32>) -> Result<(), String> {
    if range.contains(&number) {
        return Ok(());
    }
    Err(format!("{what} is {number}: {} to {} is possible", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;

    #[test]
    fn everybody_in_a_generated_schedule_is_there() {
        for world in World::ALL {
            for seed in 0..2000 {
                assert_eq!(Schedule::generate(seed, world).check(), Ok(()), "seed {seed}");
            }
        }
    }

    #[test]
    fn who_is_not_there_is_named() {
        let mut schedule = Schedule::generate(0, World::Core);
        let action = Action::Crash { host: Host::Agent(9) };
        schedule.steps.push(crate::schedule::Step { after: 0, action });
        assert_eq!(schedule.check(), Err("there is no agent9 in the cast".into()));
        schedule.steps.pop();
        schedule.knobs.hosts.tick = 0;
        let tick = "hosts.tick is 0: 1 to 100 is possible";
        assert_eq!(schedule.check(), Err(tick.into()));
        schedule.cast.servers = 0;
        assert_eq!(schedule.check(), Err("0 servers: there is one, or there are two".into()));
    }
}
