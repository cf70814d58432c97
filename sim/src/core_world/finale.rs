//! How a run ends: everything heals, everybody ends what is open, and what is healed works again.

use std::time::Duration;

use watertight_core::Instant;

use super::link::Seated;
use super::pipe::Path;
use super::stream::{Role, Stream};
use super::tunnel::Tunnel;
use super::world::{State, World, agent_host, server_host};
use crate::invariant::When;
use crate::player::Desire;
use crate::schedule::Finale;
use crate::{DialOutcome, Player};

/// What the timers of the base dialect may add: its writers probe every two seconds at the latest.
pub(super) const PROBES: Duration = Duration::from_secs(5);

impl<T: Tunnel> World<'_, T> {
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

    /// Everybody ends what is open, as the schedule says, and nothing is left. `false` if it was a
    /// shutdown, after which there is nothing to be asked but whether all is gone.
    pub(super) fn wind_down(&mut self) -> bool {
        self.heal();
        match self.stage.schedule.finale {
            Finale::Finish => {
                self.tell_all(Role::Near, |player| {
                    player.read_all();
                    player.finish();
                });
                self.wait_for_streams();
                self.wait_for_farewells(Role::Near);
            }
            Finale::Drop => {}
            Finale::Shutdown => {
                self.check(When::Running);
                return false;
            }
        }
        self.let_go();
        true
    }

    /// All handles go.
    pub(super) fn let_go(&mut self) {
        self.stage.closing = true;
        self.tell_all(Role::Near, Player::let_go);
        self.settle();
        self.wait_for_farewells(Role::Far);
        self.tell_all(Role::Far, Player::let_go);
        self.settle();
    }

    pub(super) fn tell_all(&mut self, role: Role, tell: impl Fn(&mut Player)) {
        for stream in &mut self.stage.streams {
            if let Some(player) = stream.player(role) {
                tell(player);
            }
        }
        self.links.iter_mut().for_each(|link| link.due = true);
        for seat in self.links.iter_mut().flat_map(|link| &mut link.seats) {
            let Some(end) = seat.there() else { continue };
            for handle in end.handles.iter_mut().filter(|handle| handle.role == role) {
                handle.ready = true;
                end.touched = true;
            }
        }
    }

    /// How long nobody may get on until nobody ever will.
    pub(super) fn patience(&self) -> Duration {
        let knobs = &self.stage.schedule.knobs;
        knobs.timing.to_quiet() + 20 * knobs.link.slowest()
    }

    /// Lets time pass for as long as somebody gets on.
    fn wait_for_streams(&mut self) {
        let patience = self.patience() + PROBES;
        let (mut progress, mut since) = (self.stage.progress, self.stage.now);
        while self.violation.is_none() {
            if !self.stage.streams.iter().any(|stream| self.wants(stream)) {
                return;
            }
            if progress != self.stage.progress {
                (progress, since) = (self.stage.progress, self.stage.now);
            }
            match self.next_moment().filter(|next| *next <= since + patience) {
                Some(next) => self.step_to(next),
                None => break,
            }
        }
        for place in 0..self.stage.streams.len() {
            if let Some(stream) = self.stage.streams.get(place)
                && self.is_stuck(stream)
            {
                let what = format!("{} does not get on", stream.id);
                self.stage.observed.stuck.push(what);
            }
        }
    }

    /// Whether somebody wants something of a stream that its other end can give.
    fn wants(&self, stream: &Stream) -> bool {
        let record = stream.record.and_then(|place| self.stage.observed.streams.get(place));
        let pending = record.is_some_and(|record| record.dial == DialOutcome::Pending);
        let coming = stream.seat.is_some() && stream.far.is_none() && !stream.near.end().is_over();
        let answered = !matches!(stream.plan.answer, crate::schedule::Answer::Hang);
        pending && stream.seat.is_some()
            || coming && answered
            || wants_way(stream, Role::Near)
            || wants_way(stream, Role::Far)
    }

    /// Whether both ends are there and joined, and all the same one does not get what it wants.
    fn is_stuck(&self, stream: &Stream) -> bool {
        let (Some(near), Some(far)) = (stream.seat, stream.far_seat) else { return false };
        let link = self.links.iter().find(|link| link.number == near.link);
        let joined = near.link == far.link
            && link.is_some_and(|link| {
                let live =
                    |seat: &Seated<T::End>| seat.view().is_some_and(|end| !end.actor.has_ended());
                link.seats.iter().all(live)
            });
        let honest = stream.record.and_then(|place| self.stage.observed.streams.get(place));
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

    /// Lets time pass until nothing is open and everybody is connected, or ought to be.
    pub(super) fn wait_for_quiet(&mut self) {
        let until = self.stage.now + self.patience();
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
                        if matches!(process.state, State::Connected(_)))
                })
        });
        let expected = 2 * self.honest_agents().count();
        let mut ends = 0;
        let dead = |link: &super::link::Link<T::End>| {
            link.pipes.iter().any(|pipe| pipe.is_dead() || !pipe.is_idle())
        };
        connected
            && !self.links.iter().any(dead)
            && self.links.iter_mut().flat_map(|link| &mut link.seats).all(|seat| {
                let Some(end) = seat.there() else { return matches!(seat, Seated::Gone) };
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
        self.stage.now
    }
}

/// Whether this end has something to say that the other one wants to hear.
fn wants_way(stream: &Stream, from: Role) -> bool {
    let (Some(writer), Some(reader)) = (stream.view(from), stream.view(from.other())) else {
        return false;
    };
    let says = match writer.desire() {
        Desire::Write(_) | Desire::Finish => true,
        Desire::Reset | Desire::Drop | Desire::Nothing => writer.end().finished,
    };
    let gone = writer.end().let_go || writer.end().broken.is_some();
    says && !gone && reader.appetite() > 0 && stream.seat.is_some()
}
