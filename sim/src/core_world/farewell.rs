//! Who is left hears of it.

use super::endpoint::Handle;
use super::finale::PROBES;
use super::link::Seated;
use super::pipe::Pipe;
use super::stream::Role;
use super::tunnel::Tunnel;
use super::world::World;
use crate::schedule::{StreamId, millis};

impl<T: Tunnel> World<'_, T> {
    /// The ends with a role hear of it when their other ends are gone, at the latest by the linger time.
    pub(super) fn wait_for_farewells(&mut self, role: Role) {
        let knobs = &self.stage.schedule.knobs;
        let linger = 2 * millis(knobs.timing.linger);
        let until = self.stage.now + linger + 20 * knobs.link.slowest() + PROBES;
        while self.violation.is_none() && self.untold(role).is_some() {
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => break,
            }
        }
        if let Some(stream) = self.untold(role) {
            let what = match role {
                Role::Near => {
                    format!("the application of {stream} never hears that its target is gone")
                }
                Role::Far => {
                    format!("the target of {stream} never hears that its application is gone")
                }
            };
            self.stage.observed.stuck.push(what);
        }
    }

    /// A stream of which the end with a role does not know yet that the other one is gone, though it
    /// could.
    fn untold(&self, role: Role) -> Option<StreamId> {
        let live = self.links.iter().filter(|link| {
            let lives =
                |seat: &Seated<T::End>| seat.view().is_some_and(|end| !end.actor.has_ended());
            link.seats.iter().all(lives) && !link.pipes.iter().any(Pipe::is_dead)
        });
        let ends = live.flat_map(|link| link.seats.iter().filter_map(Seated::view));
        let handles = ends.flat_map(|end| &end.handles);
        let untold = |handle: &&Handle| {
            handle.role == role && handle.open && !handle.released && !handle.ended
        };
        let streams = handles.filter(untold).filter_map(|handle| {
            let stream = self.stage.streams.get(handle.stream)?;
            let (near, far) = (stream.near.end(), stream.far.as_ref()?.end());
            let unheard = match role {
                Role::Near => far.is_over(),
                // Where both have finished, all is said: the target has only not read it.
                Role::Far => near.is_over() && !(near.finished && far.finished),
            };
            (stream.record.is_some() && unheard).then_some(stream.id)
        });
        streams.min()
    }
}
