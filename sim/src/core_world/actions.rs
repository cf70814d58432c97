//! The actions of the steps of a schedule, dials among them.

use watertight_core::session::OpenError;
use watertight_core::wire::GoAwayCode;

use super::actor::Actor;
use super::context::{Role, SessionConnection, StreamState};
use super::frame::{FrameKind, Label};
use super::link::Handle;
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, CoreWorld, ProcessState, SERVER};
use crate::schedule::{
    Action, AgentKind, HANGING, Host, HostileMessage, StreamId, TargetPlan, millis, unsigned,
};
use crate::{DialOutcome, Player, Situation, StreamEnd, StreamRecord};

impl<T: Tunnel> CoreWorld<'_, T> {
    /// Performs a step. A step that finds nothing to act on does nothing.
    pub(super) fn perform(&mut self, action: &Action) {
        match action {
            Action::Dial { stream, from, to, target, within } => {
                let (stream, from, to, within) = (*stream, *from, *to, *within);
                self.dial(&Dial { stream, from, to, plan: target, within });
            }
            Action::Write { stream, bytes } => {
                self.update_application(*stream, |player| player.write_more((*bytes).into()));
            }
            Action::Read { stream, bytes } => {
                self.update_application(*stream, |player| player.read_more((*bytes).into()));
            }
            Action::ReadAll { stream } => self.update_application(*stream, Player::read_all),
            Action::Finish { stream } => self.update_application(*stream, Player::finish),
            Action::Reset { stream } => self.update_application(*stream, Player::reset),
            Action::Drop { stream } => self.update_application(*stream, Player::let_go),
            Action::Replace { agent } => self.replace_process(usize::from(*agent)),
            Action::Disconnect { agent } => self.disconnect(usize::from(*agent)),
            Action::Drain { agent, by_server, within } => {
                let side = if *by_server { SERVER } else { AGENT };
                self.drain_agent(usize::from(*agent), side, *within);
            }
            Action::Restart { host, within } => self.restart(*host, *within),
            Action::Crash { host } => {
                self.note_crash(*host);
                self.crash(*host);
            }
            Action::Bounce { host } => self.bounce(*host),
            Action::Send { agent, message } => self.send_hostile(usize::from(*agent), message),
            Action::Idle => {}
            fault => self.fault(fault),
        }
    }

    pub(super) fn update_application(&mut self, id: StreamId, update: impl FnOnce(&mut Player)) {
        let Some(site) = self.context.find(id) else { return };
        let Some(stream) = self.context.streams.get_mut(site) else { return };
        if let Some(player) = stream.player(Role::Near) {
            update(player);
        }
        if let Some(connected) = stream.connected
            && let Some(end) = self.end(connected.link, connected.side)
        {
            end.rouse(connected.id);
        }
    }

    fn replace_process(&mut self, agent: usize) {
        let Some(host) = self.agents.get_mut(agent) else { return };
        if host.processes.is_empty() {
            return;
        }
        let mut idle = Vec::new();
        host.processes.retain_mut(|process| {
            process.last = true;
            if let ProcessState::Connecting(link, _) = process.state {
                idle.push(link);
            }
            matches!(process.state, ProcessState::Connected(_))
        });
        for link in idle {
            self.leave(link);
        }
        self.start_process(agent);
    }

    fn disconnect(&mut self, agent: usize) {
        let Some(host) = self.agents.get(agent) else { return };
        let Some(server) = self.servers.get(host.server) else { return };
        let key = server.registry.lookup_local(&host.key);
        let session = server.sessions.iter().find(|(of, _)| Some(*of) == key);
        let Some(link) = session.map(|(_, link)| *link) else { return };
        self.close(link, SERVER, "disconnected");
    }

    /// Ends a session now.
    pub(super) fn close(&mut self, link: u32, side: usize, text: &str) {
        let now = self.context.now;
        self.shake(link);
        let Some(end) = self.end(link, side) else { return };
        if let Some(session) = end.actor.session() {
            session.close(now, GoAwayCode::SHUTDOWN, text);
        } else {
            end.actor.handle_transport_ended(now, text);
        }
        end.touched = true;
    }

    /// An action on a link may end its sessions from now on.
    pub(super) fn shake(&mut self, link: u32) {
        if let Some((_, link)) = self.link(link) {
            link.shaken = true;
        }
    }

    pub(super) fn drain_agent(&mut self, agent: usize, side: usize, within: u32) {
        let Some(link) = self.connected(agent) else { return };
        if self.is_dialling(agent) {
            self.context.note(Situation::DrainWhileDialling);
        }
        if self.is_transferring(agent) {
            self.context.note(Situation::DrainDuringTransfer);
        }
        self.drain(link, side, within);
    }

    fn drain(&mut self, link: u32, side: usize, within: u32) {
        let now = self.context.now;
        self.shake(link);
        let Some(end) = self.end(link, side) else { return };
        match end.actor.session() {
            Some(session) => session.drain(now, "drained", millis(within)),
            // It has no other route.
            None => end.actor.handle_transport_ended(now, "drained"),
        }
        end.touched = true;
    }

    fn restart(&mut self, host: Host, within: u32) {
        match host {
            Host::Agent(agent) => self.restart_agent(usize::from(agent), within),
            Host::Server(server) => self.restart_server(usize::from(server), within),
            Host::Unauthenticated => {}
        }
    }

    fn restart_agent(&mut self, agent: usize, within: u32) {
        self.note_restart(agent);
        let Some(host) = self.agents.get_mut(agent) else { return };
        let (mut up, mut idle) = (Vec::new(), Vec::new());
        for process in &mut host.processes {
            match process.state {
                ProcessState::Connected(link) => {
                    process.restarting = true;
                    up.push(link);
                }
                ProcessState::Connecting(link, _) => idle.push(link),
                ProcessState::Waiting(_) => {}
            }
        }
        let there = !host.processes.is_empty();
        host.processes.retain(|process| matches!(process.state, ProcessState::Connected(_)));
        let starts = there && host.processes.iter().all(|process| process.last);
        for link in idle {
            self.leave(link);
        }
        for link in up {
            self.drain(link, AGENT, within);
        }
        if starts {
            self.start_process(agent);
        }
    }

    fn restart_server(&mut self, server: usize, within: u32) {
        let Some(host) = self.servers.get_mut(server).filter(|host| host.up) else { return };
        host.stopping = !host.sessions.is_empty();
        let links: Vec<_> = host.sessions.iter().map(|(_, link)| *link).collect();
        for link in links {
            if let Some(agent) = self.link(link).map(|(_, link)| link.agent) {
                self.note_restart(agent);
            }
            self.drain(link, SERVER, within);
        }
    }

    fn note_restart(&mut self, agent: usize) {
        if self.is_transferring(agent) {
            self.context.note(Situation::RestartDuringTransfer);
        }
    }

    /// A host starts again; if it runs, it dies before.
    pub(super) fn bounce(&mut self, host: Host) {
        self.note_crash(host);
        self.crash(host);
        match host {
            Host::Agent(agent) => self.start_process(usize::from(agent)),
            Host::Server(server) => {
                if let Some(server) = self.servers.get_mut(usize::from(server)) {
                    server.up = true;
                }
            }
            Host::Unauthenticated => {}
        }
    }

    fn note_crash(&mut self, host: Host) {
        let (agents, situation) = match host {
            Host::Agent(agent) => {
                let agent = usize::from(agent);
                (agent..agent + 1, Situation::AgentCrashDuringTransfer)
            }
            Host::Server(_) => (0..self.agents.len(), Situation::ServerCrashDuringTransfer),
            Host::Unauthenticated => return,
        };
        if agents.into_iter().any(|agent| self.is_transferring(agent)) {
            self.context.note(situation);
        }
    }

    /// Whether a dial through the agent's sessions is in flight.
    pub(super) fn is_dialling(&self, agent: usize) -> bool {
        let records = &self.context.observed.streams;
        self.context.streams.iter().filter(|stream| stream.agent == agent).any(|stream| {
            let record = stream.record.and_then(|record| records.get(record));
            record.is_some_and(|record| record.dial == DialOutcome::Pending)
        })
    }

    /// Whether a stream through the agent's sessions is open.
    pub(super) fn is_transferring(&self, agent: usize) -> bool {
        self.context.streams.iter().any(|stream| stream.agent == agent && stream.is_open())
    }

    /// Whether the agent is hostile.
    pub(super) fn is_hostile(&self, agent: usize) -> bool {
        let kind = self.agents.get(agent).map(|host| host.kind);
        matches!(kind, Some(AgentKind::Hostile { .. }))
    }
}

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

impl<T: Tunnel> CoreWorld<'_, T> {
    /// An application dials.
    pub(super) fn dial(&mut self, dial: &Dial<'_>) {
        let &Dial { stream, from, to, plan, within } = dial;
        let agent = usize::from(to);
        let Some(host) = self.agents.get(agent) else { return };
        if self.context.find(stream).is_some() {
            return;
        }
        let (honest, half_closes) = (host.kind.is_honest(), !host.kind.is_base());
        let record = self.context.observed.streams.len();
        self.context.observed.streams.push(StreamRecord {
            stream,
            deadline: self.context.at() + millis(within),
            settled: None,
            dial: DialOutcome::Pending,
            near: StreamEnd::default(),
            far: None,
            honest,
            half_closes,
        });
        self.context.streams.push(StreamState {
            id: stream,
            record: Some(record),
            agent,
            plan: plan.clone(),
            near: Player::application(),
            far: None,
            connected: None,
            far_connected: None,
            excused: false,
            reset_last: [false; 2],
            changed: false,
        });
        if let Err(why) = self.open(agent, from, stream, within)
            && let Some(record) = self.context.observed.streams.get_mut(record)
        {
            record.dial = DialOutcome::Failed(why);
        }
    }

    fn open(&mut self, agent: usize, from: Host, id: StreamId, within: u32) -> Result<(), String> {
        let side = if matches!(from, Host::Agent(_)) { AGENT } else { SERVER };
        let link = if side == AGENT { self.connected(agent) } else { self.registered(agent, from) };
        let (now, stream) = (self.context.now, self.context.streams.len() - 1);
        let hangs = self.context.hangs(stream);
        let target = if hangs { HANGING.into() } else { id.target() };
        let end = link.and_then(|link| self.end(link, side));
        let (Some(end), Some(link)) = (end, link) else {
            self.context.note(Situation::DialWithoutSession);
            return Err("no session".into());
        };
        match end.actor.open(now, &target, millis(within)) {
            Ok(id) => {
                end.handles.push(Handle::new(id, stream, Role::Near, false));
                end.touched = true;
                let connected = Some(SessionConnection { link, side, id });
                if let Some(stream) = self.context.streams.get_mut(stream) {
                    stream.connected = connected;
                }
                Ok(())
            }
            Err(error) => {
                let limit =
                    matches!(error, OpenError::TooManyConnections(_) | OpenError::TooManyDials(_));
                self.context.seen.note_if(limit, Situation::DialBeyondLimit);
                let share = matches!(error, OpenError::TooManyDialsOfTarget(_));
                self.context.seen.note_if(share, Situation::DialBeyondShare);
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
        let hang = pending.filter(|handle| self.context.hangs(handle.stream)).count();
        if hang > FIRST_SHARE.max(limit / 2) {
            let what = format!("{refused} is refused for {hang} dials of a target that hangs");
            self.context.observed.without_share.push(what);
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
                    && link.ends.get(SERVER).is_some_and(|connected| connected.view().is_some())
            });
            return oldest.map(|link| link.number);
        }
        let key = server.registry.lookup_local(&host.key)?;
        server.sessions.iter().find(|(of, _)| *of == key).map(|(_, link)| *link)
    }
}

/// The bound of a hostile end's sockets: the rest of a flood is never sent.
const FLOOD: usize = 256 << 10;

impl<T: Tunnel> CoreWorld<'_, T> {
    /// A hostile agent sends a message, if it has a session.
    pub(super) fn send_hostile(&mut self, agent: usize, message: &HostileMessage) {
        let Some(link) = self.connected(agent) else { return };
        match message {
            HostileMessage::Flood { count, message } => {
                self.context.note(Situation::HostileFlood);
                self.set_deaf(link);
                for turn in 0..*count {
                    if !self.send_one(agent, link, &message.in_flood(turn)) {
                        break;
                    }
                }
            }
            message => {
                self.send_one(agent, link, message);
            }
        }
    }

    /// Whether the sockets took it.
    fn send_one(&mut self, agent: usize, link: u32, message: &HostileMessage) -> bool {
        self.note_hostile(message);
        let (now, direction) = (self.context.now, self.direction(agent, AGENT));
        let Some((_, found)) = self.link(link) else { return false };
        let [pipe, _] = &mut found.pipes;
        if pipe.len() > FLOOD {
            return false;
        }
        match message {
            HostileMessage::Length { length } => {
                let mut prefix = Vec::new();
                unsigned(*length, &mut prefix);
                pipe.send_raw(now, direction, &prefix);
            }
            HostileMessage::Deaf => self.set_deaf(link),
            // A flood in a flood is one of its messages.
            HostileMessage::Flood { message, .. } => return self.send_one(agent, link, message),
            message => {
                let payload = message.payload().unwrap_or_default();
                let label = Label::of(&payload);
                pipe.send(now, direction, FrameKind::Message, label, [&payload, &[]]);
            }
        }
        true
    }

    fn set_deaf(&mut self, link: u32) {
        if let Some(end) = self.end(link, AGENT)
            && let Actor::Hostile(hostile) = &mut end.actor
        {
            hostile.deaf = true;
        }
    }

    fn note_hostile(&mut self, message: &HostileMessage) {
        let own = |id: i64| id > 0 && id % 2 == 1;
        let (situation, is_so) = match message {
            HostileMessage::Raw { .. } | HostileMessage::Length { .. } => {
                (Situation::HostileGarbage, true)
            }
            HostileMessage::AddClient { .. } => (Situation::HostileRoutes, true),
            HostileMessage::Connect { id, .. } | HostileMessage::Data { id, .. } => {
                (Situation::HostileId, !own(*id))
            }
            _ => return,
        };
        self.context.seen.note_if(is_so, situation);
    }
}
