use super::{Action, Host, Schedule};

impl Schedule {
    /// Whether everybody that it speaks of is there: what is written by hand may be wrong.
    ///
    /// # Errors
    /// Who is not.
    pub(crate) fn check(&self) -> Result<(), String> {
        let servers = self.cast.servers;
        if !(1..=2).contains(&servers) {
            return Err(format!("{servers} servers: there is one, or there are two"));
        }
        if !(1..=100).contains(&self.cast.agents.len()) {
            return Err(format!("{} agents: there are 1 to 100", self.cast.agents.len()));
        }
        if self.knobs.hosts.tick == 0 {
            return Err("a tick of 0 ms: no time would pass".into());
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
            Action::Replace { agent }
            | Action::Disconnect { agent }
            | Action::Drain { agent, .. }
            | Action::Say { agent, .. } => self.check_host(Host::Agent(agent)),
            Action::Restart { host, .. }
            | Action::Crash { host }
            | Action::Bounce { host }
            | Action::Cut { by: host } => self.check_host(host),
            Action::Partition { a, b }
            | Action::PartitionOneWay { from: a, to: b }
            | Action::Repair { a, b }
            | Action::Hold { a, b }
            | Action::Release { a, b }
            | Action::Latency { a, b, .. } => {
                self.check_host(a)?;
                self.check_host(b)
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
        };
        if there { Ok(()) } else { Err(format!("there is no {host} in the cast")) }
    }
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
        assert_eq!(schedule.check(), Err("a tick of 0 ms: no time would pass".into()));
        schedule.cast.servers = 0;
        assert_eq!(schedule.check(), Err("0 servers: there is one, or there are two".into()));
    }
}
