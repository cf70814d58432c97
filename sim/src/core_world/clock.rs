//! The clock of the core world, and the messages and events that a moment carries.

use bytes::{Buf, Bytes};
use watertight_core::wire::{Dialect, decode_frame};
use watertight_core::{Instant, Transmit};

use super::context::{Context, Late, Site};
use super::events::{accept, take_events};
use super::frame::{FrameKind, Label, data_in, kind, words};
use super::link::{Endpoint, LinkEnd, earlier};
use super::moves::run_players;
use super::pipe::{Arrival, Pipe, PipeDirection};
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, CoreWorld, SERVER};
use crate::Situation;
use crate::invariant::When;
use crate::situation::Situations;

/// How many things may happen one after the other without time passing.
const STANDSTILL: u32 = 10_000;

/// Rounds after which everything must be at rest at one moment.
const ROUNDS: u32 = 1000;

/// A timer of an end is due: the bytes that it waits for may be in the sockets' queues, as their kernels
/// know.
fn note_progress<E: End>(
    end: &mut Endpoint<E>,
    pipes: &mut [Pipe; 2],
    side: usize,
    seen: &mut Situations,
) {
    let [up, down] = pipes;
    let (local, remote) = if side == AGENT { (up, down) } else { (down, up) };
    // Where the return path is lost, so are the acknowledgements.
    let (delivered, taken) =
        (remote.has_delivered(), local.has_taken().filter(|_| !remote.is_lost()));
    seen.note_if(taken.is_some() && local.is_full(), Situation::FullQueueMoved);
    let Some(session) = end.actor.session() else { return };
    if let Some(at) = delivered {
        session.handle_transport_received(at);
    }
    if let Some(at) = taken {
        session.handle_transport_sent(at);
    }
}

impl<T: Tunnel> CoreWorld<'_, T> {
    /// Lets time pass until then, stopping at every moment at which something happens.
    pub(super) fn pass(&mut self, until: Instant) {
        self.settle();
        while self.violation.is_none() {
            let Some(next) = self.next_moment().filter(|next| *next <= until) else { break };
            self.step_to(next);
            self.notice_standstill();
        }
        self.context.now = until.max(self.context.now);
    }

    /// Time passes to a moment, and what happens then happens.
    pub(super) fn step_to(&mut self, moment: Instant) {
        self.context.now = moment.max(self.context.now);
        self.moments += 1;
        self.expire();
        self.settle();
        self.look_sometimes();
    }

    /// An end that is always due and never done would hold time still.
    fn notice_standstill(&mut self) {
        let (since, moments) = self.standstill;
        let moments = if since == self.context.now { moments + 1 } else { 0 };
        self.standstill = (self.context.now, moments);
        if moments > STANDSTILL {
            self.context.observed.stuck.push("time stands still: an end is always due".into());
            self.check(When::Running);
        }
    }

    /// Everything that can move now moves.
    pub(super) fn settle(&mut self) {
        // What happens at one link may move another one of the same host.
        for _ in 0..ROUNDS {
            self.expire_processes();
            let mut moved = false;
            for site in 0..self.links.len() {
                if self.links.get(site).is_some_and(|link| link.due) {
                    self.work(site);
                    moved = true;
                }
            }
            if !moved {
                return self.sweep_parted();
            }
        }
        self.context.observed.stuck.push("the hosts talk without end at one moment".into());
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
        let late = self.context.late.iter().map(|late| late.at).min();
        let links = self.links.iter().filter_map(|link| link.next);
        links.chain(self.next_process).chain(late).min()
    }

    fn expire(&mut self) {
        let now = self.context.now;
        for link in &mut self.links {
            if link.next.is_none_or(|next| next > now) {
                continue;
            }
            link.due = true;
            for (side, connected) in link.ends.iter_mut().enumerate() {
                let Some(end) = connected.there() else { continue };
                if end.timeout.is_some_and(|at| at <= now) {
                    note_progress(end, &mut link.pipes, side, &mut self.context.seen);
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
        let now = self.context.now;
        if self.context.late.is_empty() {
            return;
        }
        let late = std::mem::take(&mut self.context.late);
        let (due, rest): (Vec<_>, Vec<_>) = late.into_iter().partition(|late| late.at <= now);
        self.context.late = rest;
        for Late { link, side, id, .. } in due {
            let Some(agent) = self.link(link).map(|(_, link)| link.agent) else { continue };
            let site = self.site(link, agent, side);
            let links = &mut self.links;
            let Some(found) = links.iter_mut().find(|of| of.number == link) else { continue };
            found.due = true;
            let Some(end) = found.ends.get_mut(side).and_then(LinkEnd::there) else { continue };
            if end.handle(id).is_some() {
                accept(end, &mut self.context, site, id);
                end.touched = true;
            }
        }
    }
}

/// Rounds in which a link must be at rest at one moment.
const LINK_ROUNDS: u32 = 100_000;

impl<T: Tunnel> CoreWorld<'_, T> {
    /// Everything that can move through a link now moves.
    pub(super) fn work(&mut self, site: usize) {
        let Some(link) = self.links.get(site) else { return };
        let held = self.agents.get(link.agent).is_some_and(|host| host.path.held);
        let next = self.carry(site, held);
        if let Some(link) = self.links.get_mut(site) {
            link.next = next;
            link.due = false;
        }
    }

    /// When something happens there next.
    fn carry(&mut self, site: usize, held: bool) -> Option<Instant> {
        for _ in 0..LINK_ROUNDS {
            for side in [AGENT, SERVER] {
                self.deliver(site, side, held);
            }
            for side in [AGENT, SERVER] {
                self.tend(site, side);
            }
            let link = self.links.get(site)?;
            let arrival = link.next_arrival(held);
            if !link.is_touched() && arrival.is_none_or(|at| at > self.context.now) {
                return earlier(arrival, link.next_timeout());
            }
        }
        self.context.observed.stuck.push("two ends talk without end at one moment".into());
        None
    }

    /// Takes one portion of what `from` has sent out of the pipe.
    fn deliver(&mut self, index: usize, from: usize, held: bool) {
        let to = 1 - from;
        let now = self.context.now;
        let Some(link) = self.links.get_mut(index) else { return };
        let ([up, down], [agent, server]) = (&mut link.pipes, &mut link.ends);
        let (pipe, sender, receiver) =
            if from == AGENT { (up, agent, server) } else { (down, server, agent) };
        if pipe.next(held).is_none_or(|at| at > now) {
            return;
        }
        if matches!(receiver, LinkEnd::Disconnected) {
            pipe.discard();
            return;
        }
        if receiver.view().is_some_and(|end| !end.reads()) {
            return;
        }
        let quality = &self.context.schedule.knobs.link;
        let arrival = pipe.receive(now, held, (quality.portion as usize).max(1));
        if pipe.would_wake((quality.capacity as usize).max(1))
            && let Some(sender) = sender.there()
        {
            sender.touched = true;
        }
        match arrival {
            Arrival::Nothing => {}
            Arrival::Bytes => self.decode(index, from),
            Arrival::End => self.on_end_of_pipe(index, to),
        }
    }

    /// Takes whole frames out of what has arrived.
    fn decode(&mut self, index: usize, from: usize) {
        let to = 1 - from;
        let max = self.configs.get(to).map_or(0, |config| config.limits.max_message) + 1;
        loop {
            let Some(link) = self.links.get_mut(index) else { return };
            let Some(pipe) = link.pipes.get_mut(from) else { return };
            match decode_frame(&mut pipe.inbox, max) {
                Ok(Some(mut frame)) => {
                    let kind = frame.first().copied().and_then(FrameKind::from_byte);
                    frame.advance(1);
                    self.on_frame(index, to, kind, frame);
                }
                Ok(None) => return,
                Err(error) => {
                    pipe.inbox.clear();
                    let now = self.context.now;
                    if let Some(end) = link.ends.get_mut(to).and_then(LinkEnd::there) {
                        end.actor.handle_invalid_transport(now, &error.to_string());
                        end.touched = true;
                    }
                    return;
                }
            }
        }
    }

    fn on_frame(&mut self, index: usize, to: usize, kind: Option<FrameKind>, payload: Bytes) {
        let now = self.context.now;
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        if let Some(end) = link.ends.get_mut(to).and_then(LinkEnd::there) {
            end.touched = true;
            match kind {
                Some(FrameKind::Message) => {
                    let label = Label::of(&payload);
                    note_credit(&mut self.context, end, label);
                    if label.kind == kind::DATA
                        && let Some(bytes) = data_in(&payload)
                    {
                        end.arrived(label.connection, bytes as u64);
                    }
                    end.actor.handle_message(now, payload);
                }
                Some(FrameKind::Ping) => {
                    end.actor.handle_ping(now);
                    let path = self.agents.get(agent).map(|host| host.path).unwrap_or_default();
                    let quality = &self.context.schedule.knobs.link;
                    let direction = PipeDirection::new(quality, &path, to);
                    if let Some(pipe) = link.pipes.get_mut(to).filter(|_| !end.shut) {
                        let label = Label::default();
                        pipe.send(now, direction, FrameKind::Pong, label, [&payload, &[]]);
                    }
                }
                Some(FrameKind::Pong) => end.actor.handle_pong(now, &payload),
                _ => {}
            }
            return;
        }
        match kind {
            Some(FrameKind::Hello) if to == SERVER => self.on_hello(index),
            Some(FrameKind::Accepted) if to == AGENT => self.on_welcome(number, agent),
            _ => {}
        }
    }

    /// Lets an end see what happened to it, and act.
    fn tend(&mut self, index: usize, side: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let Some(end) = link.ends.get_mut(side).and_then(LinkEnd::there) else { return };
        if !std::mem::take(&mut end.touched) {
            return;
        }
        let site = self.site(number, agent, side);
        let direction = self.direction(agent, side);
        let Some(link) = self.links.get_mut(index) else { return };
        let site = Site { calm: site.honest && !link.shaken, ..site };
        let Some(end) = link.ends.get_mut(side).and_then(LinkEnd::there) else { return };
        let [local, remote] = &mut link.pipes;
        let (pipe, back) = if side == AGENT { (local, remote) } else { (remote, local) };
        let context = &mut self.context;
        for _ in 0..LINK_ROUNDS {
            run_players(end, context, site);
            take_events(end, context, site);
            end.early.clear();
            // A transmission may make space for the connections that wait.
            let sent = transmit(end, pipe, back, context, site, direction);
            if !sent && end.handles.iter().all(|handle| !handle.ready) {
                break;
            }
        }
        end.timeout = end.actor.poll_timeout();
        self.after_tending(index, side);
    }
}

/// The transport takes the messages of the end, as long as it has space. Returns whether anything happened.
fn transmit<E: End>(
    end: &mut Endpoint<E>,
    pipe: &mut Pipe,
    back: &Pipe,
    context: &mut Context<'_>,
    site: Site,
    direction: PipeDirection<'_>,
) -> bool {
    let capacity = (context.schedule.knobs.link.capacity as usize).max(1);
    let mut any = false;
    while !end.shut && end.actor.has_transmit() && pipe.has_room(capacity) {
        any = true;
        // A session that is drained ends here.
        let Some(transmit) = end.actor.poll_transmit(context.now) else { break };
        let label = label_of(&transmit);
        note_crossing(context, label, back);
        note_sent(context, end, label);
        update(context, site, &transmit);
        match &transmit {
            Transmit::Message(message) => {
                let parts = [&message.header[..], &message.payload[..]];
                pipe.send(context.now, direction, FrameKind::Message, label, parts);
            }
            Transmit::TransportPing(payload) => {
                pipe.send(context.now, direction, FrameKind::Ping, label, [payload, &[]]);
            }
        }
    }
    any
}

fn label_of(transmit: &Transmit) -> Label {
    match transmit {
        Transmit::Message(message) => Label::of(&message.header),
        Transmit::TransportPing(_) => Label::default(),
    }
}

fn update(context: &Context<'_>, site: Site, transmit: &Transmit) {
    let to = if site.side == AGENT {
        let home = context.schedule.cast.agents.get(site.agent).map_or(0, |agent| agent.home);
        crate::schedule::Host::Server(home)
    } else {
        super::world::agent_host(site.agent)
    };
    context.trace.sent(context.at(), site.host, to, || match transmit {
        Transmit::Message(message) => words(&message.to_bytes(), Dialect::Extended),
        Transmit::TransportPing(_) => "a ping of the transport".into(),
    });
}

/// Credit that comes for a connection which has used up what it had.
fn note_credit<E: End>(context: &mut Context<'_>, end: &mut Endpoint<E>, label: Label) {
    if label.kind != kind::CREDIT || context.seen.has(Situation::CreditUsedUp) {
        return;
    }
    let handle = end.handles.iter().find(|handle| handle.id.get() == label.connection);
    let Some(id) = handle.filter(|handle| handle.write_blocked).map(|handle| handle.id) else {
        return;
    };
    let credit = end.actor.session().and_then(|session| session.credit(id));
    context
        .seen
        .note_if(credit.is_some_and(|(sent, limit, _)| sent == limit), Situation::CreditUsedUp);
}

/// The session's own report.
fn note_sent<E: End>(context: &mut Context<'_>, end: &mut Endpoint<E>, sent: Label) {
    match sent.kind {
        kind::SYNC | kind::SYNC_CONNECTIONS if !end.handles.is_empty() => {
            context.note(Situation::ListWithConnections);
        }
        kind::CREDIT if !context.seen.has(Situation::WindowGrew) => {
            let handle = end.handles.iter().find(|handle| handle.id.get() == sent.connection);
            let Some(handle) = handle.copied() else { return };
            let stream = context.streams.get(handle.stream);
            let read = stream.and_then(|stream| stream.view(handle.role)).map(|of| of.end().read);
            let credit = end.actor.session().and_then(|session| session.credit(handle.id));
            let limits = [&context.schedule.knobs.agent, &context.schedule.knobs.server];
            let first = limits.into_iter().map(|limits| limits.initial_window.max(1024)).max();
            if let (Some((_, _, granted)), Some(read), Some(first)) = (credit, read, first) {
                let grew = granted > read + u64::from(first);
                context.seen.note_if(grew, Situation::WindowGrew);
            }
        }
        _ => {}
    }
}

/// A message leaves while others are in transit in the opposite direction.
fn note_crossing(context: &mut Context<'_>, sent: Label, coming: &Pipe) {
    match sent.kind {
        kind::RESET | kind::FINISH | kind::PAUSE | kind::RESUME => {
            let same = |label: &Label| label.connection == sent.connection;
            for label in coming.under_way().filter(same) {
                if let Some(situation) = of_connection(sent.kind, label.kind) {
                    context.note(situation);
                }
            }
        }
        kind::DATA | kind::OPENED => {
            let reset = Label { kind: kind::RESET, ..sent };
            if coming.under_way().any(|label| label == reset)
                && let Some(situation) = of_connection(kind::RESET, sent.kind)
            {
                context.note(situation);
            }
        }
        kind::CONNECT | kind::SYNC | kind::SYNC_CONNECTIONS => {
            for label in coming.under_way() {
                if let Some(situation) = of_session(sent.kind, label.kind) {
                    context.note(situation);
                }
            }
        }
        _ => {}
    }
}

const fn of_connection(sent: i64, coming: i64) -> Option<Situation> {
    Some(match (sent, coming) {
        (kind::RESET, kind::FINISH) | (kind::FINISH, kind::RESET) => Situation::ResetCrossesFinish,
        (kind::FINISH, kind::FINISH) => Situation::FinishCrossesFinish,
        (kind::RESET, kind::DATA) => Situation::ResetCrossesData,
        (kind::RESET, kind::OPENED) => Situation::ResetCrossesOpened,
        (kind::PAUSE, kind::RESUME) | (kind::RESUME, kind::PAUSE) => Situation::PauseCrossesResume,
        _ => return None,
    })
}

const fn of_session(sent: i64, coming: i64) -> Option<Situation> {
    match (sent, coming) {
        (kind::CONNECT, kind::CONNECT) => Some(Situation::ConnectCrossesConnect),
        (kind::CONNECT, kind::SYNC | kind::SYNC_CONNECTIONS) => Some(Situation::ListCrossesConnect),
        (kind::SYNC | kind::SYNC_CONNECTIONS, kind::CONNECT) => Some(Situation::ListCrossesConnect),
        _ => None,
    }
}
