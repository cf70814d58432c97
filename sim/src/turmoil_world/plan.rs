//! The plan of a run: the schedule, the seeded bug, and the values for the software of the hosts that follow
//! from them.

use std::time::Duration;

use watertight::{ReconnectConfig, SessionConfig};

use super::kernel::Kernel;
use crate::schedule::{self, Action, Host, Schedule, TargetEnd, millis};

/// How long the machine of a target may be silent: the shortest time that the product accepts.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(9);

/// Time that the library takes to end things beyond the schedule's times: a closing handshake may take 3 s,
/// a copy into a socket that takes nothing 5 s.
pub(super) const LIBRARY: Duration = Duration::from_secs(10);

/// Longer than any run.
pub(super) const FOREVER: Duration = Duration::from_secs(3600);

/// The client key of an unauthenticated remote whose token is wrong: no agent has it.
pub(super) const UNKNOWN: &str = "unlisted";

/// A difference between the software on the hosts and the product: the seeded bugs of this world. Each
/// is one line or two where the product, or an embedder, has it right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// The product.
    #[default]
    None,
    /// The accept loop waits for the first byte of each connection, without a deadline.
    AcceptWaits,
    /// The sockets of a server's sessions stay open when the sessions have ended.
    SocketStays,
    /// A client whose session has not ended in an orderly manner cannot log in again.
    LoginWaits,
    /// A dial continues when its caller has given up.
    DialGoesOn,
    /// A task stays behind for each stream that was served.
    TaskStays,
    /// A dial waits for its answer without a deadline.
    DialWaits,
    /// The copy to and from a target ends both directions at the first end of file.
    EofEndsBoth,
    /// The copy to and from a target does not notice that it was reset.
    ResetSwallowed,
    /// A connection that one end has finished waits for the remote without a deadline.
    HalfClosedStays,
    /// Sessions do not notice that nothing arrives any more.
    SilenceIsFine,
    /// The end of a superseded session is not reported.
    SupersededUnreported,
    /// A write that fails ends the copy to and from a target: the target's answer is lost.
    WriteErrorLosesAnswer,
    /// The copy to and from a target takes its reset for an end of file.
    ResetIsAnEnd,
    /// Connections to targets are not probed while they are idle.
    ProbesNothing,
    /// The kernel of a target is not asked whether it acknowledges the bytes that wait.
    AsksNoKernel,
    /// A target's socket is closed where it should be reset.
    AbortCloses,
    /// Every name of a target has a thread, as long as there are any.
    LooksUpAll,
    /// A dial of a target that does not exist panics.
    UnknownTargetPanics,
    /// All sockets without a session count as one source.
    SharesIgnored,
    /// At the bound of sockets without a session, new ones are refused.
    NewSocketsRefused,
    /// Sockets without a session have no bound.
    HandshakesUnbounded,
    /// Handshakes have no deadline.
    HandshakesLast,
    /// Any token is right.
    TokenIgnored,
    /// An agent waits for the answer of its server without a deadline.
    AnswerAwaited,
}

/// A schedule and the seeded bug under which it runs.
#[derive(Debug)]
pub(super) struct RunPlan {
    pub(super) schedule: Schedule,
    pub(super) deviation: Deviation,
}

impl RunPlan {
    /// All hosts, in order: servers, agents, and the one of unauthenticated remotes if there are any.
    pub(super) fn hosts(&self) -> impl DoubleEndedIterator<Item = Host> + '_ {
        let agents = (0_u8..).zip(&self.schedule.cast.agents).map(|(number, _)| number);
        let agents = agents.map(Host::Agent).collect::<Vec<_>>();
        let unauthenticated = self.schedule.has_unauthenticated().then_some(Host::Unauthenticated);
        self.servers().chain(agents).chain(unauthenticated)
    }

    pub(super) fn servers(&self) -> impl DoubleEndedIterator<Item = Host> + use<> {
        (0..self.schedule.cast.servers).map(Host::Server)
    }

    /// The agents that behave.
    pub(super) fn honest_agents(&self) -> impl Iterator<Item = u8> + '_ {
        let agents = (0_u8..).zip(&self.schedule.cast.agents);
        agents.filter(|(_, agent)| agent.kind.is_honest()).map(|(number, _)| number)
    }

    pub(super) fn agent(&self, number: u8) -> Option<&schedule::Agent> {
        self.schedule.cast.agents.get(usize::from(number))
    }

    /// The server of an agent.
    pub(super) fn home(&self, agent: u8) -> Option<Host> {
        self.agent(agent).map(|agent| Host::Server(agent.home))
    }

    /// Whether a host does what it should. Servers do.
    pub(super) fn is_honest(&self, host: Host) -> bool {
        match host {
            Host::Server(_) => true,
            Host::Agent(number) => self.agent(number).is_some_and(|agent| agent.kind.is_honest()),
            Host::Unauthenticated => false,
        }
    }

    /// Whether the client with this key is an agent that behaves.
    pub(super) fn is_honest_client(&self, key: &str) -> bool {
        self.hosts().any(|host| host.to_string() == key && self.is_honest(host))
    }

    fn any_action(&self, is: impl Fn(&Action) -> bool) -> bool {
        self.schedule.steps.iter().any(|step| is(&step.action))
    }

    /// Whether unauthenticated remotes impersonate a server at some time.
    pub(super) fn has_impostors(&self) -> bool {
        self.any_action(|action| matches!(action, Action::Impersonate { .. }))
    }

    /// Whether every step leaves all sessions as they are.
    pub(super) fn touches_no_session(&self) -> bool {
        !self.any_action(|action| !touches_no_session(action))
    }

    /// Whether an agent always receives the close reason of its session: nothing breaks it without a
    /// message, and the agent's dialect has one.
    pub(super) fn receives_close_reasons(&self, agent: u8) -> bool {
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
        let has_reasons =
            self.agent(agent).is_some_and(|agent| agent.kind.is_honest() && !agent.kind.is_base());
        has_reasons && !self.any_action(breaks)
    }

    pub(super) fn server_session(&self) -> SessionConfig {
        let knobs = &self.schedule.knobs;
        self.deviate(knobs.server.session(&knobs.timing))
    }

    pub(super) fn agent_session(&self) -> SessionConfig {
        let knobs = &self.schedule.knobs;
        self.deviate(knobs.agent.session(&knobs.timing.of_agents()))
    }

    fn deviate(&self, mut session: SessionConfig) -> SessionConfig {
        if self.is_patient() {
            let timing = &mut session.timing;
            (timing.silence, timing.stall) = (FOREVER, FOREVER);
            (timing.ping_interval, timing.reconcile) = (FOREVER / 4, FOREVER);
        }
        match self.deviation {
            Deviation::HalfClosedStays => session.timing.linger = FOREVER,
            Deviation::SilenceIsFine => {
                (session.timing.silence, session.timing.stall) = (FOREVER, FOREVER);
            }
            _ => {}
        }
        session
    }

    /// Whether sessions have no timeout of silence. Where messages can be lost silently, only that timeout
    /// ends a session.
    fn is_patient(&self) -> bool {
        let is_lossy = |action: &Action| {
            matches!(action, Action::Partition { .. } | Action::PartitionOneWay { .. })
        };
        self.schedule.knobs.hosts.patient && !self.any_action(is_lossy)
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

    /// The seed for the random numbers of a host's software, another one for each start.
    pub(super) fn seed(&self, host: Host, start: u64) -> u64 {
        let host = match host {
            Host::Server(number) => u64::from(number),
            Host::Agent(number) => 256 + u64::from(number),
            Host::Unauthenticated => 512,
        };
        self.schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (host << 32) ^ start
    }

    /// Bytes that a WebSocket buffers before it writes by itself. None in half of the schedules, so that a
    /// small message meets a full one. Not with a base end: its lists, which are sent a thousand times as
    /// often here, would fill a small link.
    pub(super) fn write_buffer(&self) -> usize {
        let lists_much = self.schedule.cast.agents.iter().any(|agent| agent.kind.is_base());
        if self.schedule.seed.is_multiple_of(2) && !lists_much { 0 } else { usize::MAX }
    }

    /// The bound of one call's bytes: each portion is a segment of turmoil's, which costs more than its
    /// bytes.
    pub(super) fn portion(&self) -> usize {
        self.schedule.knobs.link.portion.max(1) as usize
    }

    /// Sessions of a server when everything is healed and the hostile agents have left: those of its agents,
    /// and one in each direction with a peer.
    pub(super) fn expected_sessions(&self, host: Host) -> u64 {
        let Host::Server(server) = host else { return 0 };
        let agents = self.schedule.cast.agents.iter();
        let own = agents.filter(|agent| agent.home == server && agent.kind.is_honest()).count();
        let peers = u64::from(self.schedule.cast.servers) - 1;
        own as u64 + 2 * peers
    }

    /// The bound of a server's sockets without a session: for each handshake that runs, four wait.
    pub(super) fn handshakes_allowed(&self) -> u64 {
        let running = match self.schedule.knobs.hosts.max_handshakes {
            0 => 1024,
            max => max,
        };
        5 * u64::from(running)
    }

    /// The timeout of a handshake.
    pub(super) fn handshake(&self) -> Duration {
        millis(self.schedule.knobs.timing.handshake)
    }

    /// The bound of the time until nothing is open and every session is up.
    pub(super) fn to_quiet(&self) -> Duration {
        self.schedule.knobs.timing.to_quiet() + LIBRARY + 5 * self.crossing()
    }

    /// The bound of a message's and its answer's time, behind queues that are full.
    pub(super) fn crossing(&self) -> Duration {
        2 * self.schedule.knobs.link.slowest()
    }

    /// The bound of the time until vanished machines are missed: longest where bytes wait for them, which
    /// are checked every 3 s, and read for 5 s more.
    pub(super) fn vanishing(&self) -> Duration {
        let vanishes = |action: &Action| {
            let Action::Dial { stream, target, .. } = action else { return false };
            let ends = matches!(target.end, TargetEnd::Reset(_) | TargetEnd::Drop(_));
            ends && Kernel::is_silent(*stream)
        };
        let any = self.any_action(vanishes);
        if any { KEEPALIVE + Duration::from_secs(8) } else { Duration::ZERO }
    }
}

/// The client key of an agent.
pub(super) fn client_key(agent: u8) -> String {
    Host::Agent(agent).to_string()
}

/// Whether an action leaves all sessions as they are: it concerns a stream, or sockets without a session.
pub(super) const fn touches_no_session(action: &Action) -> bool {
    use Action::{Dial, Drop, Finish, Idle, Read, ReadAll, Reset, UnauthenticatedConnect, Write};
    matches!(
        action,
        Dial { .. }
            | Write { .. }
            | Read { .. }
            | ReadAll { .. }
            | Finish { .. }
            | Reset { .. }
            | Drop { .. }
            | UnauthenticatedConnect { .. }
            | Idle
    )
}
