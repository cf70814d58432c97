//! How applications dial.

use watertight_core::session::OpenError;

use super::endpoint::Handle;
use super::stream::{Role, Seat, Stream};
use super::tunnel::Tunnel;
use super::world::{AGENT, SERVER, World};
use crate::schedule::{HANGING, Host, StreamId, TargetPlan, millis};
use crate::{DialOutcome, Player, Situation, StreamEnd, StreamRecord};

/// Dials in flight that any target may have.
const FIRST_SHARE: usize = 16;

/// A dial of the schedule, or of the liveness check.
pub(super) struct Dial<'a> {
    pub(super) stream: StreamId,
    pub(super) from: Host,
    pub(super) to: u8,
    pub(super) plan: &'a TargetPlan,
    pub(super) within: u32,
}

impl<T: Tunnel> World<'_, T> {
    /// An application dials.
    pub(super) fn dial(&mut self, dial: &Dial<'_>) {
        let &Dial { stream, from, to, plan, within } = dial;
        let agent = usize::from(to);
        let Some(host) = self.agents.get(agent) else { return };
        if self.stage.find(stream).is_some() {
            return;
        }
        let (honest, half_closes) = (host.kind.is_honest(), !host.kind.is_base());
        let record = self.stage.observed.streams.len();
        self.stage.observed.streams.push(StreamRecord {
            stream,
            deadline: self.stage.at() + millis(within),
            settled: None,
            dial: DialOutcome::Pending,
            near: StreamEnd::default(),
            far: None,
            honest,
            half_closes,
        });
        self.stage.streams.push(Stream {
            id: stream,
            record: Some(record),
            agent,
            plan: plan.clone(),
            near: Player::application(),
            far: None,
            seat: None,
            far_seat: None,
            excused: false,
            reset_last: [false; 2],
            changed: false,
        });
        if let Err(why) = self.open(agent, from, stream, within)
            && let Some(record) = self.stage.observed.streams.get_mut(record)
        {
            record.dial = DialOutcome::Failed(why);
        }
    }

    fn open(&mut self, agent: usize, from: Host, id: StreamId, within: u32) -> Result<(), String> {
        let side = if matches!(from, Host::Agent(_)) { AGENT } else { SERVER };
        let link = if side == AGENT { self.connected(agent) } else { self.registered(agent, from) };
        let (now, stream) = (self.stage.now, self.stage.streams.len() - 1);
        let hangs = self.stage.hangs(stream);
        let target = if hangs { HANGING.into() } else { id.target() };
        let end = link.and_then(|link| self.end(link, side));
        let (Some(end), Some(link)) = (end, link) else {
            self.stage.note(Situation::DialWithoutSession);
            return Err("no session".into());
        };
        match end.actor.open(now, &target, millis(within)) {
            Ok(id) => {
                end.handles.push(Handle::new(id, stream, Role::Near, false));
                end.touched = true;
                let seat = Some(Seat { link, side, id });
                if let Some(stream) = self.stage.streams.get_mut(stream) {
                    stream.seat = seat;
                }
                Ok(())
            }
            Err(error) => {
                let limit =
                    matches!(error, OpenError::TooManyConnections(_) | OpenError::TooManyDials(_));
                self.stage.seen.note_if(limit, Situation::DialBeyondLimit);
                let share = matches!(error, OpenError::TooManyDialsOfTarget(_));
                self.stage.seen.note_if(share, Situation::DialBeyondShare);
                if matches!(error, OpenError::TooManyDials(_)) && !hangs {
                    self.demand_room(link, side, id);
                }
                Err(error.to_string())
            }
        }
    }

    /// A dial is refused because others are in flight: not too many of them are those of a target that
    /// does not answer.
    fn demand_room(&mut self, link: u32, side: usize, refused: StreamId) {
        let limit = self.configs.get(side).map_or(0, |config| config.limits.max_dials);
        let handles = self.end(link, side).map(|end| end.handles.clone()).unwrap_or_default();
        let pending = handles.iter().filter(|handle| !handle.open && handle.role == Role::Near);
        let hang = pending.filter(|handle| self.stage.hangs(handle.stream)).count();
        if hang > FIRST_SHARE.max(limit / 2) {
            let what = format!("{refused} is refused for {hang} dials of a target that hangs");
            self.stage.observed.crowded_out.push(what);
        }
    }

    /// The session through which a server dials an agent.
    fn registered(&self, agent: usize, from: Host) -> Option<u32> {
        let Host::Server(number) = from else { return None };
        let host = self.agents.get(agent)?;
        let server = self.servers.get(usize::from(number))?;
        if usize::from(number) != host.server || !server.up {
            return None;
        }
        if !self.tunnel.habits().newest_wins {
            let oldest = self.links.iter().find(|link| {
                link.agent == agent
                    && link.seats.get(SERVER).is_some_and(|seat| seat.view().is_some())
            });
            return oldest.map(|link| link.number);
        }
        let key = server.registry.lookup_local(&host.key)?;
        server.sessions.iter().find(|(of, _)| *of == key).map(|(_, link)| *link)
    }
}
