//! How time passes: exactly to the next moment at which something happens.

use watertight_core::Instant;

use super::actor::Actor;
use super::events::accept;
use super::stage::Late;
use super::tunnel::Tunnel;
use super::world::{AGENT, SERVER, Seated, State, World};
use crate::invariant::When;

/// How many things may happen one after the other without time passing.
const STANDSTILL: u32 = 10_000;

impl<T: Tunnel> World<'_, T> {
    /// Lets time pass until then, stopping at every moment at which something happens.
    pub(super) fn pass(&mut self, until: Instant) {
        self.settle();
        while self.violation.is_none() {
            let Some(next) = self.next_moment().filter(|next| *next <= until) else { break };
            self.step_to(next);
            self.notice_standstill();
        }
        self.stage.now = until.max(self.stage.now);
    }

    /// Time passes to a moment, and what happens then happens.
    pub(super) fn step_to(&mut self, moment: Instant) {
        self.stage.now = moment.max(self.stage.now);
        self.moments += 1;
        self.expire();
        self.settle();
        self.look_sometimes();
    }

    /// An end that is always due and never done would hold time still.
    fn notice_standstill(&mut self) {
        let (since, moments) = self.standstill;
        let moments = if since == self.stage.now { moments + 1 } else { 0 };
        self.standstill = (self.stage.now, moments);
        if moments > STANDSTILL {
            self.stage.observed.stuck.push("time stands still: somebody is always due".into());
            self.check(When::Running);
        }
    }

    /// Everything that can move now moves.
    pub(super) fn settle(&mut self) {
        // What happens at one link may move another one of the same host.
        for _ in 0..1000 {
            self.expire_processes();
            for link in 0..self.links.len() {
                self.work(link);
            }
            if !self.is_restless() {
                break;
            }
        }
        self.sweep();
    }

    fn is_restless(&self) -> bool {
        let now = self.stage.now;
        let waits = |state: State| matches!(state, State::Waiting(at) if at <= now);
        let touched = |seat: &Seated<T::End>| seat.view().is_some_and(|end| end.touched);
        self.links.iter().any(|link| link.seats.iter().any(touched))
            || self.agents.iter().any(|host| host.processes.iter().any(|of| waits(of.state)))
    }

    /// When something happens next.
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let late = self.stage.late.iter().map(|late| late.at).min();
        let mut next = late;
        let mut soon = |at: Option<Instant>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        };
        for host in &self.agents {
            for process in &host.processes {
                match process.state {
                    State::Waiting(at) | State::Connecting(_, at) => soon(Some(at)),
                    State::Connected(_) => {}
                }
            }
        }
        for link in &self.links {
            let held = self.agents.get(link.agent).is_some_and(|host| host.path.held);
            for (pipe, to) in link.pipes.iter().zip([SERVER, AGENT]) {
                let receiver = link.seats.get(to).and_then(Seated::view);
                let deaf = receiver.is_some_and(
                    |end| matches!(&end.actor, Actor::Hostile(hostile) if hostile.deaf),
                );
                if !deaf {
                    soon(pipe.next(held));
                }
            }
            for end in link.seats.iter().filter_map(Seated::view) {
                soon(end.timeout);
                soon(end.farewell_until);
            }
        }
        next
    }

    fn expire(&mut self) {
        let now = self.stage.now;
        for link in &mut self.links {
            for seat in &mut link.seats {
                let Some(end) = seat.there() else { continue };
                if end.timeout.is_some_and(|at| at <= now) {
                    end.actor.handle_timeout(now);
                    end.touched = true;
                }
                end.touched |= end.farewell_until.is_some_and(|at| at <= now);
            }
        }
        self.answer_late();
    }

    /// Targets that took their time answer.
    fn answer_late(&mut self) {
        let now = self.stage.now;
        if self.stage.late.is_empty() {
            return;
        }
        let late = std::mem::take(&mut self.stage.late);
        let (due, rest): (Vec<_>, Vec<_>) = late.into_iter().partition(|late| late.at <= now);
        self.stage.late = rest;
        for Late { link, side, id, .. } in due {
            let Some(agent) = self.link(link).map(|(_, link)| link.agent) else { continue };
            let place = self.place(link, agent, side);
            let links = &mut self.links;
            let Some(found) = links.iter_mut().find(|of| of.number == link) else { continue };
            let Some(end) = found.seats.get_mut(side).and_then(Seated::there) else { continue };
            if end.handle(id).is_some() {
                accept(end, &mut self.stage, place, id);
                end.touched = true;
            }
        }
    }
}
