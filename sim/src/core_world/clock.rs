//! How time passes: exactly to the next moment at which something happens.

use watertight_core::Instant;

use super::endpoint::Endpoint;
use super::events::accept;
use super::link::Seated;
use super::pipe::Pipe;
use super::stage::Late;
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, World};
use crate::Situation;
use crate::invariant::When;
use crate::situation::Seen;

/// How many things may happen one after the other without time passing.
const STANDSTILL: u32 = 10_000;

/// Rounds after which everybody must have come to rest at one moment.
const ROUNDS: u32 = 1000;

/// A timer of an end is due: what it waits for may be under way in the sockets' queues, as their kernels
/// know.
fn note_progress<E: End>(
    end: &mut Endpoint<E>,
    pipes: &mut [Pipe; 2],
    side: usize,
    seen: &mut Seen,
) {
    let [up, down] = pipes;
    let (ours, theirs) = if side == AGENT { (up, down) } else { (down, up) };
    // Where the way back is lost, so are the acknowledgements.
    let (delivered, taken) =
        (theirs.has_delivered(), ours.has_taken().filter(|_| !theirs.is_lost()));
    seen.note_if(taken.is_some() && ours.is_full(), Situation::FullQueueMoved);
    let Some(session) = end.actor.session() else { return };
    if let Some(at) = delivered {
        session.handle_transport_received(at);
    }
    if let Some(at) = taken {
        session.handle_transport_sent(at);
    }
}

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
        for _ in 0..ROUNDS {
            self.expire_processes();
            let mut moved = false;
            for place in 0..self.links.len() {
                if self.links.get(place).is_some_and(|link| link.due) {
                    self.work(place);
                    moved = true;
                }
            }
            if !moved {
                return self.sweep_parted();
            }
        }
        self.stage.observed.stuck.push("the hosts talk without end at one moment".into());
    }

    /// What ended at this moment is taken away.
    fn sweep_parted(&mut self) {
        if self.parted {
            self.parted = false;
            self.sweep();
        }
    }

    /// When something happens next.
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let late = self.stage.late.iter().map(|late| late.at).min();
        let links = self.links.iter().filter_map(|link| link.next);
        links.chain(self.next_process).chain(late).min()
    }

    fn expire(&mut self) {
        let now = self.stage.now;
        for link in &mut self.links {
            if link.next.is_none_or(|next| next > now) {
                continue;
            }
            link.due = true;
            for (side, seat) in link.seats.iter_mut().enumerate() {
                let Some(end) = seat.there() else { continue };
                if end.timeout.is_some_and(|at| at <= now) {
                    note_progress(end, &mut link.pipes, side, &mut self.stage.seen);
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
            found.due = true;
            let Some(end) = found.seats.get_mut(side).and_then(Seated::there) else { continue };
            if end.handle(id).is_some() {
                accept(end, &mut self.stage, place, id);
                end.touched = true;
            }
        }
    }
}
