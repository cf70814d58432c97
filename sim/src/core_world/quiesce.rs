//! The ends of a run: everything heals, applications end what is open, a probe works, the hosts shut down.

use std::time::Duration;

use watertight_core::Instant;

use super::actions::Dial;
use super::context::{FRESH, Role, StreamState};
use super::link::{Handle, LinkEnd};
use super::pipe::{Path, Pipe};
use super::tunnel::Tunnel;
use super::world::{AGENT, CoreWorld, ProcessState, SERVER, agent_host, server_host};
use crate::player::Desire;
use crate::schedule::{StreamId, TargetPlan, TrafficEnd, millis};
use crate::{DialOutcome, Player, StreamEnd};

/// Time that the timers of the base dialect may add: its writers probe every two seconds at the latest.
pub(super) const PROBES: Duration = Duration::from_secs(5);

impl<T: Tunnel> CoreWorld<'_, T> {
    /// Faults end, crashed hosts start, and hostile agents go.
    pub(super) fn heal(&mut self) {
        for agent in 0..self.agents.len() {
            if self.is_hostile(agent) {
                self.crash(agent_host(agent));
            }
            if let Some(host) = self.agents.get_mut(agent) {
                host.path = Path { crawls: host.path.crawls, ..Path::default() };
            }
            self.links.iter_mut().for_each(|link| link.due = true);
        }
        for server in 0..self.servers.len() {
            if self.servers.get(server).is_some_and(|server| !server.up) {
                self.bounce(server_host(server));
            }
        }
        for agent in 0..self.agents.len() {
            let down = self.agents.get(agent).is_some_and(|host| host.processes.is_empty());
            if down && !self.is_hostile(agent) {
                self.start_process(agent);
            }
        }
        self.settle();
    }

    /// Applications end their streams, as the schedule requires, and nothing is left.
    pub(super) fn quiesce(&mut self, traffic_end: TrafficEnd) {
        if traffic_end == TrafficEnd::Finish {
            self.update_all(Role::Near, |player| {
                player.read_all();
                player.finish();
            });
            self.wait_for_streams();
            self.wait_for_ends(Role::Near);
        }
        self.let_go();
    }

    /// All handles go.
    pub(super) fn let_go(&mut self) {
        self.context.closing = true;
        self.update_all(Role::Near, Player::let_go);
        self.settle();
        self.wait_for_ends(Role::Far);
        self.update_all(Role::Far, Player::let_go);
        self.settle();
    }

    pub(super) fn update_all(&mut self, role: Role, update: impl Fn(&mut Player)) {
        for stream in &mut self.context.streams {
            if let Some(player) = stream.player(role) {
                update(player);
            }
        }
        self.links.iter_mut().for_each(|link| link.due = true);
        for connected in self.links.iter_mut().flat_map(|link| &mut link.ends) {
            let Some(end) = connected.there() else { continue };
            for handle in end.handles.iter_mut().filter(|handle| handle.role == role) {
                handle.ready = true;
                end.touched = true;
            }
        }
    }

    /// The time without any progress after which there will be none.
    pub(super) fn patience(&self) -> Duration {
        let knobs = &self.context.schedule.knobs;
        knobs.timing.to_quiet() + 20 * knobs.link.slowest()
    }

    /// Lets time pass as long as there is progress.
    fn wait_for_streams(&mut self) {
        let patience = self.patience() + PROBES;
        let (mut progress, mut since) = (self.context.progress, self.context.now);
        while self.violation.is_none() {
            if !self.context.streams.iter().any(|stream| self.wants(stream)) {
                return;
            }
            if progress != self.context.progress {
                (progress, since) = (self.context.progress, self.context.now);
            }
            match self.next_moment().filter(|next| *next <= since + patience) {
                Some(next) => self.step_to(next),
                None => break,
            }
        }
        for site in 0..self.context.streams.len() {
            if let Some(stream) = self.context.streams.get(site)
                && self.is_stuck(stream)
            {
                let what = format!("{} does not get on", stream.id);
                self.context.observed.stuck.push(what);
            }
        }
    }

    /// Whether an end wants something of a stream that its remote can give.
    fn wants(&self, stream: &StreamState) -> bool {
        let record = stream.record.and_then(|site| self.context.observed.streams.get(site));
        let pending = record.is_some_and(|record| record.dial == DialOutcome::Pending);
        let coming =
            stream.connected.is_some() && stream.far.is_none() && !stream.near.end().is_over();
        let answered = !matches!(stream.plan.answer, crate::schedule::Answer::Hang);
        pending && stream.connected.is_some()
            || coming && answered
            || wants_way(stream, Role::Near)
            || wants_way(stream, Role::Far)
    }

    /// Whether both ends are there and joined, and all the same one does not get what it wants.
    fn is_stuck(&self, stream: &StreamState) -> bool {
        let (Some(near), Some(far)) = (stream.connected, stream.far_connected) else {
            return false;
        };
        let link = self.links.iter().find(|link| link.number == near.link);
        let joined = near.link == far.link
            && link.is_some_and(|link| {
                let live = |connected: &LinkEnd<T::End>| {
                    connected.view().is_some_and(|end| !end.actor.has_ended())
                };
                link.ends.iter().all(live)
            });
        let honest = stream.record.and_then(|site| self.context.observed.streams.get(site));
        let base = honest.is_some_and(|record| !record.half_closes);
        let stuck = |role| match base {
            true => {
                let writes = |player: &Player| matches!(player.desire(), Desire::Write(_));
                wants_way(stream, role) && stream.view(role).is_some_and(writes)
            }
            false => wants_way(stream, role),
        };
        joined
            && honest.is_some_and(|record| record.honest)
            && (stuck(Role::Near) || stuck(Role::Far))
    }

    /// Lets time pass until nothing is open and every agent is connected, or ought to be.
    pub(super) fn wait_for_quiet(&mut self) {
        let until = self.context.now + self.patience();
        while self.violation.is_none() && !self.is_quiet() {
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => break,
            }
        }
    }

    fn is_quiet(&mut self) -> bool {
        let connected = (0..self.agents.len()).all(|agent| {
            self.is_hostile(agent)
                || self.agents.get(agent).is_some_and(|host| {
                    matches!(host.processes.as_slice(), [process]
                        if matches!(process.state, ProcessState::Connected(_)))
                })
        });
        let expected = 2 * self.honest_agents().count();
        let mut ends = 0;
        let dead = |link: &super::link::Link<T::End>| {
            link.pipes.iter().any(|pipe| pipe.is_dead() || !pipe.is_idle())
        };
        connected
            && !self.links.iter().any(dead)
            && self.links.iter_mut().flat_map(|link| &mut link.ends).all(|connected| {
                let Some(end) = connected.there() else {
                    return matches!(connected, LinkEnd::Disconnected);
                };
                ends += 1;
                let busy = !end.handles.is_empty() || end.actor.has_ended();
                !busy && end.actor.ledger().is_none_or(|ledger| ledger.is_quiet())
            })
            && ends == expected
    }

    pub(super) fn honest_agents(&self) -> impl Iterator<Item = usize> {
        (0..self.agents.len()).filter(|agent| !self.is_hostile(*agent))
    }

    /// Time since the start.
    pub(super) const fn now(&self) -> Instant {
        self.context.now
    }
}

/// Whether this end has bytes or an end of file to send that the remote wants to read.
fn wants_way(stream: &StreamState, from: Role) -> bool {
    let (Some(writer), Some(reader)) = (stream.view(from), stream.view(from.other())) else {
        return false;
    };
    let says = match writer.desire() {
        Desire::Write(_) | Desire::Finish => true,
        Desire::Reset | Desire::Drop | Desire::Nothing => writer.end().finished,
    };
    let disconnected = writer.end().let_go || writer.end().broken.is_some();
    says && !disconnected && reader.appetite() > 0 && stream.connected.is_some()
}

impl<T: Tunnel> CoreWorld<'_, T> {
    /// The ends with a role learn of the end of their remotes, at the latest by the linger time.
    pub(super) fn wait_for_ends(&mut self, role: Role) {
        let knobs = &self.context.schedule.knobs;
        let linger = 2 * millis(knobs.timing.linger);
        let until = self.context.now + linger + 20 * knobs.link.slowest() + PROBES;
        while self.violation.is_none() && self.unnotified(role).is_some() {
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => break,
            }
        }
        if let Some(stream) = self.unnotified(role) {
            let what = match role {
                Role::Near => {
                    format!(
                        "the application of {stream} is never notified that its target has left"
                    )
                }
                Role::Far => {
                    format!(
                        "the target of {stream} is never notified that its application has left"
                    )
                }
            };
            self.context.observed.stuck.push(what);
        }
    }

    /// A stream of which the end with a role has not noticed yet that the other one has ended, though it
    /// could.
    fn unnotified(&self, role: Role) -> Option<StreamId> {
        let live = self.links.iter().filter(|link| {
            let lives = |connected: &LinkEnd<T::End>| {
                connected.view().is_some_and(|end| !end.actor.has_ended())
            };
            link.ends.iter().all(lives) && !link.pipes.iter().any(Pipe::is_dead)
        });
        let ends = live.flat_map(|link| link.ends.iter().filter_map(LinkEnd::view));
        let handles = ends.flat_map(|end| &end.handles);
        let unnotified = |handle: &&Handle| {
            handle.role == role && handle.open && !handle.released && !handle.ended
        };
        let streams = handles.filter(unnotified).filter_map(|handle| {
            let stream = self.context.streams.get(handle.stream)?;
            let (near, far) = (stream.near.end(), stream.far.as_ref()?.end());
            let missed = match role {
                Role::Near => far.is_over(),
                // Where both have finished, nothing is missing: the target has only not read it.
                Role::Far => near.is_over() && !(near.finished && far.finished),
            };
            (stream.record.is_some() && missed).then_some(stream.id)
        });
        streams.min()
    }
}

impl<T: Tunnel> CoreWorld<'_, T> {
    /// How many sessions each host ought to have now.
    pub(super) fn expect_sessions(&mut self) {
        let honest: Vec<_> = self.honest_agents().collect();
        for agent in honest {
            for side in [AGENT, SERVER] {
                let host_ledger = self.host_ledger_of(agent, side);
                if let Some(host_ledger) = host_ledger
                    .and_then(|host_ledger| self.context.observed.hosts.get_mut(host_ledger))
                {
                    host_ledger.sessions_expected += 1;
                }
            }
        }
        for server in &self.servers {
            let expected = self.context.observed.hosts.get(server.host_ledger);
            let expected = expected.map_or(0, |host_ledger| host_ledger.sessions_expected);
            let registered = server.registry.ledger().agents.live;
            if registered != expected {
                let what = format!("{registered} agents are registered, {expected} expected");
                self.context.observed.stuck.push(what);
            }
        }
    }

    /// All hosts shut down, some softly and some at once.
    pub(super) fn shut_down(&mut self) {
        for host in &mut self.agents {
            host.processes.iter_mut().for_each(|process| process.last = true);
        }
        let links: Vec<_> = self.links.iter().map(|link| link.number).collect();
        for (site, link) in links.into_iter().enumerate() {
            let side = if site % 2 == 0 { SERVER } else { AGENT };
            self.close(link, side, "shutting down");
        }
        self.settle();
        self.let_go();
        self.close_stragglers();
        self.wait_until_gone();
    }

    /// A process without a session ends at once.
    fn close_stragglers(&mut self) {
        for host in &mut self.agents {
            host.processes.retain(|process| matches!(process.state, ProcessState::Connected(_)));
        }
        for index in 0..self.links.len() {
            let Some(link) = self.links.get(index) else { continue };
            let number = link.number;
            if matches!(link.ends.first(), Some(LinkEnd::Before)) {
                self.leave(number);
            }
        }
        self.settle();
    }

    fn wait_until_gone(&mut self) {
        let until = self.context.now + self.patience();
        while self.violation.is_none() && !self.links.is_empty() {
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => break,
            }
            self.update_all(Role::Far, Player::let_go);
        }
    }
}

/// Bytes that are sent there and back.
const FRESH_BYTES: u64 = 64;
/// Milliseconds that a dial takes at most where nothing is wrong, beside what the links take.
const FRESH_WITHIN: u32 = 1000;

impl<T: Tunnel> CoreWorld<'_, T> {
    /// Every agent is dialled anew, and the bytes that are sent there return. A session that has lost its
    /// remote and has not noticed it yet may still break such a dial, but not without end.
    pub(super) fn prove_liveness(&mut self) {
        let until = self.context.now + self.patience();
        let mut left: Vec<_> = self.honest_agents().collect();
        let mut first = FRESH;
        while !left.is_empty() && self.violation.is_none() {
            self.wait_for_quiet();
            self.try_fresh(&left, first);
            let last = self.context.now > until;
            left.retain(|agent| {
                let id = StreamId(first + u16::try_from(*agent).unwrap_or(0));
                let stream = self.context.find(id).and_then(|site| self.context.streams.get(site));
                stream.is_none_or(|stream| !came_through(stream.near.end()))
            });
            let next = first.checked_add(u16::from(u8::MAX)).filter(|_| !last);
            let Some(next) = next else { break };
            first = next;
        }
        for agent in left {
            let what = format!("a fresh dial of {} does not come through", agent_host(agent));
            self.context.observed.stuck.push(what);
        }
    }

    fn try_fresh(&mut self, agents: &[usize], first: u16) {
        let slowest = self.context.schedule.knobs.link.slowest().as_millis();
        let within =
            FRESH_WITHIN.saturating_add(4 * u32::try_from(slowest).unwrap_or(u32::MAX / 4));
        for agent in agents {
            let server = self.agents.get(*agent).map_or(0, |host| host.server);
            let to = u8::try_from(*agent).unwrap_or(u8::MAX);
            let stream = StreamId(first + u16::from(to));
            let plan = &TargetPlan::ECHO;
            self.dial(&Dial { stream, from: server_host(server), to, plan, within });
            // An end of the base dialect that finishes receives no answer.
            let base = self.agents.get(*agent).is_some_and(|host| host.kind.is_base());
            self.update_application(stream, |player| {
                player.write_more(FRESH_BYTES);
                player.read_all();
                if !base {
                    player.finish();
                }
            });
        }
        self.wait_for_fresh(|near| near.read >= FRESH_BYTES || near.is_over());
        for agent in agents {
            let stream = StreamId(first + u16::try_from(*agent).unwrap_or(0));
            if self.agents.get(*agent).is_some_and(|host| host.kind.is_base()) {
                self.update_application(stream, Player::let_go);
            }
        }
        self.wait_for_fresh(StreamEnd::is_over);
    }

    fn wait_for_fresh(&mut self, done: impl Fn(&StreamEnd) -> bool) {
        let until = self.context.now + self.patience() + PROBES;
        self.settle();
        while self.violation.is_none() {
            let mut fresh = self.context.streams.iter().filter(|stream| stream.is_fresh());
            if fresh.all(|stream| stream.connected.is_none() || done(stream.near.end())) {
                return;
            }
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => return,
            }
        }
    }
}

fn came_through(near: &StreamEnd) -> bool {
    near.read >= FRESH_BYTES && near.is_over() && near.broken.is_none()
}
