//! What the schedule says of the hosts, for their software.

use std::time::Duration;

use watertight::{ReconnectConfig, SessionConfig, SessionEnd};

use super::deviation::Deviation;
use super::finale::LIBRARY;
use super::kernel::Kernel;
use super::seat::Promise;
use super::stage::Stage;
use super::stream::Stream;
use crate::schedule::{Action, Finale, Host, TargetEnd, millis};
use crate::situation::Situation;

/// How long a target's machine may say nothing: the shortest time there is.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(9);

impl Stage {
    pub(super) fn server_session(&self) -> SessionConfig {
        let knobs = &self.schedule.knobs;
        self.deviate(knobs.server.session(&knobs.timing))
    }

    pub(super) fn agent_session(&self) -> SessionConfig {
        let knobs = &self.schedule.knobs;
        self.deviate(knobs.agent.session(&knobs.timing.of_agents()))
    }

    /// Whether sessions are not to notice by silence that something is wrong. Where something can be
    /// lost silently, nothing else tells them.
    fn is_patient(&self) -> bool {
        let is_lossy = |action: &Action| {
            matches!(action, Action::Partition { .. } | Action::PartitionOneWay { .. })
        };
        let steps = &self.schedule.steps;
        self.schedule.knobs.hosts.patient && !steps.iter().any(|step| is_lossy(&step.action))
    }

    /// Of which streams what was written before a reset must be read.
    pub(super) fn promise(&self) -> Promise {
        // A reset that nobody took for the linger time went ahead of what was written before it, and a host
        // that shuts down lets go of what its applications have not read.
        if self.seen().has(Situation::LingerTimeout) || self.shuts_down() {
            Promise::None
        } else if self.is_calm() {
            Promise::All
        } else {
            Promise::OfThoseTold
        }
    }

    /// The end of an agent's session, if the server should have said why and did not: what breaks by
    /// itself says nothing, and a base end cannot. What a server thinks of an agent proves nothing: the
    /// agent may have gone before it knew of its session.
    pub(super) fn untold(&self, agent: Host, end: &SessionEnd) -> Option<String> {
        let Host::Agent(number) = agent else { return None };
        let says_nothing = matches!(end, SessionEnd::Transport(_));
        (says_nothing && self.is_told_of_ends(number)).then(|| end.to_string())
    }

    /// Whether an agent always hears why its session ends.
    pub(super) fn is_told_of_ends(&self, agent: u8) -> bool {
        let breaks = |action: &Action| {
            use Action::{Bounce, Crash, Cut, Hold, Impersonate, Partition, PartitionOneWay};
            matches!(
                action,
                Bounce { .. }
                    | Crash { .. }
                    | Cut { .. }
                    | Hold { .. }
                    | Impersonate { .. }
                    | Partition { .. }
                    | PartitionOneWay { .. }
            )
        };
        let can_tell =
            self.agent(agent).is_some_and(|agent| agent.kind.is_honest() && !agent.kind.is_base());
        can_tell && !self.schedule.steps.iter().any(|step| breaks(&step.action))
    }

    /// Whether no session has ended by now.
    fn is_calm(&self) -> bool {
        let steps = &self.schedule.steps;
        !self.shuts_down()
            && !self.parts()
            && steps.iter().all(|step| touches_no_session(&step.action))
    }

    /// Whether strangers are in the place of a server at some time.
    pub(super) fn has_impostors(&self) -> bool {
        let impersonates = |action: &Action| matches!(action, Action::Impersonate { .. });
        self.schedule.steps.iter().any(|step| impersonates(&step.action))
    }

    /// Whether everybody shuts down with everything still open.
    pub(super) fn shuts_down(&self) -> bool {
        let schedule = &self.schedule;
        schedule.finale == Finale::Shutdown && self.steps() >= schedule.steps.len()
    }

    fn deviate(&self, mut session: SessionConfig) -> SessionConfig {
        let ever = Duration::from_secs(3600);
        if self.is_patient() {
            let timing = &mut session.timing;
            (timing.silence, timing.stall) = (ever, ever);
            (timing.ping_interval, timing.reconcile) = (ever / 4, ever);
        }
        match self.deviation {
            Deviation::HalfClosedStays => session.timing.linger = ever,
            Deviation::SilenceIsFine => {
                (session.timing.silence, session.timing.stall) = (ever, ever);
            }
            _ => {}
        }
        session
    }

    /// Whether the client with this key is an agent that behaves.
    pub(super) fn is_honest_client(&self, key: &str) -> bool {
        self.hosts().any(|host| host.to_string() == key && self.is_honest(host))
    }

    /// Whether a stream passes the other server.
    pub(super) fn goes_through_peer(&self, stream: &Stream) -> bool {
        let Host::Server(server) = stream.from else { return false };
        self.agent(stream.agent).is_some_and(|agent| agent.home != server)
    }

    /// How many streams a host has an open end of.
    pub(super) fn readers(&self, host: Host) -> u64 {
        let streams = self.streams();
        let near = streams.iter().filter(|stream| stream.from == host && !stream.is_over());
        let far = streams.iter().filter(|stream| self.answers(stream) == host);
        near.count() as u64 + far.map(|stream| stream.open_targets()).sum::<u64>()
    }

    /// Where the targets of a stream are.
    fn answers(&self, stream: &Stream) -> Host {
        match (stream.from, self.agent(stream.agent)) {
            (Host::Agent(_), Some(agent)) => Host::Server(agent.home),
            _ => Host::Agent(stream.agent),
        }
    }

    /// How many sessions a server has when everything is healed and the hostile agents are gone: its
    /// agents', and one in each direction with a peer.
    pub(super) fn expected_sessions(&self, host: Host) -> u64 {
        let Host::Server(server) = host else { return 0 };
        let agents = self.schedule.cast.agents.iter();
        let own = agents.filter(|agent| agent.home == server && agent.kind.is_honest()).count();
        let peers = u64::from(self.schedule.cast.servers) - 1;
        own as u64 + 2 * peers
    }

    /// A seed for the dice of a host's software, another one for each time it starts.
    pub(super) fn seed(&self, host: Host, start: u64) -> u64 {
        let host = match host {
            Host::Server(number) => u64::from(number),
            Host::Agent(number) => 256 + u64::from(number),
            Host::Strangers => 512,
        };
        self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (host << 32) ^ start
    }

    pub(super) fn reconnect(&self) -> ReconnectConfig {
        let most = millis(self.schedule.knobs.timing.reconnect);
        ReconnectConfig {
            initial: most,
            spread: most,
            max: most,
            multiplier: 1,
            stable_after: Duration::ZERO,
        }
    }

    /// What waits in a WebSocket before it writes by itself: in half of the schedules nothing, so that the
    /// little that is sent here meets a full one. Not where there is a base end: its lists, which come a
    /// thousand times as often here, would leave no room for anything else on a small link.
    pub(super) fn write_buffer(&self) -> usize {
        let lists_much = self.schedule.cast.agents.iter().any(|agent| agent.kind.is_base());
        if self.schedule.seed.is_multiple_of(2) && !lists_much { 0 } else { usize::MAX }
    }

    /// How long it may take until nothing of what was open is left, and everybody is there.
    pub(super) fn to_quiet(&self) -> Duration {
        self.schedule.knobs.timing.to_quiet() + LIBRARY + 5 * self.crossing()
    }

    /// How long a message and its answer may take at most, behind queues that are full.
    pub(super) fn crossing(&self) -> Duration {
        2 * self.schedule.knobs.link.slowest()
    }

    /// How long it may take until the machines that vanish are missed: longest where bytes wait for
    /// them, which are looked after every 3 s, and are read after for 5 s.
    pub(super) fn vanishing(&self) -> Duration {
        let vanishes = |action: &Action| {
            let Action::Dial { stream, target, .. } = action else { return false };
            let ends = matches!(target.end, TargetEnd::Reset(_) | TargetEnd::Drop(_));
            ends && Kernel::is_silent(*stream)
        };
        let any = self.schedule.steps.iter().any(|step| vanishes(&step.action));
        if any { KEEPALIVE + Duration::from_secs(8) } else { Duration::ZERO }
    }

    /// How many sockets of a server may be no sessions yet: for each handshake that runs, four wait.
    pub(super) fn handshakes_allowed(&self) -> u64 {
        let running = match self.schedule.knobs.hosts.max_handshakes {
            0 => 1024,
            max => max,
        };
        5 * u64::from(running)
    }

    pub(super) fn handshake(&self) -> Duration {
        millis(self.schedule.knobs.timing.handshake)
    }
}

/// Whether an action leaves all sessions as they are: one about a stream, or of strangers at the door.
pub(super) const fn touches_no_session(action: &Action) -> bool {
    use Action::{Dial, Drop, Finish, Idle, Read, ReadAll, Reset, StrangersConnect, Write};
    matches!(
        action,
        Dial { .. }
            | Write { .. }
            | Read { .. }
            | ReadAll { .. }
            | Finish { .. }
            | Reset { .. }
            | Drop { .. }
            | StrangersConnect { .. }
            | Idle
    )
}
