//! What goes through a link.

use bytes::{Buf, Bytes};
use watertight_core::wire::{Dialect, decode_frame};
use watertight_core::{Instant, Transmit};

use super::crossing::note_crossing;
use super::endpoint::Endpoint;
use super::events::take_events;
use super::frame::{FrameKind, Label, data_in, kind, words};
use super::link::{Seated, earlier};
use super::moves::run_players;
use super::pipe::{Arrival, Pipe, Way};
use super::stage::{Place, Stage};
use super::tunnel::{End, Tunnel};
use super::world::{AGENT, SERVER, World};
use crate::Situation;

/// Rounds in which a link must come to rest at one moment.
const ROUNDS: u32 = 100_000;

impl<T: Tunnel> World<'_, T> {
    /// Everything that can move through a link now moves.
    pub(super) fn work(&mut self, place: usize) {
        let Some(link) = self.links.get(place) else { return };
        let held = self.agents.get(link.agent).is_some_and(|host| host.path.held);
        let next = self.carry(place, held);
        if let Some(link) = self.links.get_mut(place) {
            link.next = next;
            link.due = false;
        }
    }

    /// When something happens there next.
    fn carry(&mut self, place: usize, held: bool) -> Option<Instant> {
        for _ in 0..ROUNDS {
            for side in [AGENT, SERVER] {
                self.deliver(place, side, held);
            }
            for side in [AGENT, SERVER] {
                self.tend(place, side);
            }
            let link = self.links.get(place)?;
            let arrival = link.next_arrival(held);
            if !link.is_touched() && arrival.is_none_or(|at| at > self.stage.now) {
                return earlier(arrival, link.next_timeout());
            }
        }
        self.stage.observed.stuck.push("two ends talk without end at one moment".into());
        None
    }

    /// Takes one portion of what `from` has sent out of the pipe.
    fn deliver(&mut self, index: usize, from: usize, held: bool) {
        let to = 1 - from;
        let now = self.stage.now;
        let Some(link) = self.links.get_mut(index) else { return };
        let ([up, down], [agent, server]) = (&mut link.pipes, &mut link.seats);
        let (pipe, sender, receiver) =
            if from == AGENT { (up, agent, server) } else { (down, server, agent) };
        if pipe.next(held).is_none_or(|at| at > now) {
            return;
        }
        if matches!(receiver, Seated::Gone) {
            pipe.discard();
            return;
        }
        if receiver.view().is_some_and(|end| !end.reads()) {
            return;
        }
        let quality = &self.stage.schedule.knobs.link;
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
                    let now = self.stage.now;
                    if let Some(end) = link.seats.get_mut(to).and_then(Seated::there) {
                        end.actor.handle_invalid_transport(now, &error.to_string());
                        end.touched = true;
                    }
                    return;
                }
            }
        }
    }

    fn on_frame(&mut self, index: usize, to: usize, kind: Option<FrameKind>, payload: Bytes) {
        let now = self.stage.now;
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        if let Some(end) = link.seats.get_mut(to).and_then(Seated::there) {
            end.touched = true;
            match kind {
                Some(FrameKind::Message) => {
                    let label = Label::of(&payload);
                    note_credit(&mut self.stage, end, label);
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
                    let quality = &self.stage.schedule.knobs.link;
                    let way = Way::new(quality, &path, to);
                    if let Some(pipe) = link.pipes.get_mut(to).filter(|_| !end.shut) {
                        let label = Label::default();
                        pipe.send(now, way, FrameKind::Pong, label, [&payload, &[]]);
                    }
                }
                Some(FrameKind::Pong) => end.actor.handle_pong(now, &payload),
                _ => {}
            }
            return;
        }
        match kind {
            Some(FrameKind::Hello) if to == SERVER => self.on_hello(index),
            Some(FrameKind::Welcome) if to == AGENT => self.on_welcome(number, agent),
            _ => {}
        }
    }

    /// Lets an end see what happened to it, and act.
    fn tend(&mut self, index: usize, side: usize) {
        let Some(link) = self.links.get_mut(index) else { return };
        let (number, agent) = (link.number, link.agent);
        let Some(end) = link.seats.get_mut(side).and_then(Seated::there) else { return };
        if !std::mem::take(&mut end.touched) {
            return;
        }
        let place = self.place(number, agent, side);
        let way = self.way(agent, side);
        let Some(link) = self.links.get_mut(index) else { return };
        let place = Place { calm: place.honest && !link.shaken, ..place };
        let Some(end) = link.seats.get_mut(side).and_then(Seated::there) else { return };
        let [ours, theirs] = &mut link.pipes;
        let (pipe, back) = if side == AGENT { (ours, theirs) } else { (theirs, ours) };
        let stage = &mut self.stage;
        for _ in 0..ROUNDS {
            run_players(end, stage, place);
            take_events(end, stage, place);
            end.early.clear();
            // What is sent may make room for those who wait.
            let sent = transmit(end, pipe, back, stage, place, way);
            if !sent && end.handles.iter().all(|handle| !handle.ready) {
                break;
            }
        }
        end.timeout = end.actor.poll_timeout();
        self.after_tending(index, side);
    }
}

/// The transport takes what the end has to send, for as long as there is room. Whether anything
/// happened.
fn transmit<E: End>(
    end: &mut Endpoint<E>,
    pipe: &mut Pipe,
    back: &Pipe,
    stage: &mut Stage<'_>,
    place: Place,
    way: Way<'_>,
) -> bool {
    let capacity = (stage.schedule.knobs.link.capacity as usize).max(1);
    let mut any = false;
    while !end.shut && end.actor.has_transmit() && pipe.has_room(capacity) {
        any = true;
        // A session that is drained ends here.
        let Some(transmit) = end.actor.poll_transmit(stage.now) else { break };
        let label = label_of(&transmit);
        note_crossing(stage, label, back);
        note_sent(stage, end, label);
        tell(stage, place, &transmit);
        match &transmit {
            Transmit::Message(message) => {
                let parts = [&message.header[..], &message.payload[..]];
                pipe.send(stage.now, way, FrameKind::Message, label, parts);
            }
            Transmit::TransportPing(payload) => {
                pipe.send(stage.now, way, FrameKind::Ping, label, [payload, &[]]);
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

fn tell(stage: &Stage<'_>, place: Place, transmit: &Transmit) {
    let to = if place.side == AGENT {
        let home = stage.schedule.cast.agents.get(place.agent).map_or(0, |agent| agent.home);
        crate::schedule::Host::Server(home)
    } else {
        super::world::agent_host(place.agent)
    };
    stage.trace.sent(stage.at(), place.host, to, || match transmit {
        Transmit::Message(message) => words(&message.to_bytes(), Dialect::Extended),
        Transmit::TransportPing(_) => "a ping of the transport".into(),
    });
}

/// Credit that comes for a connection which has used up what it had.
fn note_credit<E: End>(stage: &mut Stage<'_>, end: &mut Endpoint<E>, label: Label) {
    if label.kind != kind::CREDIT || stage.seen.has(Situation::CreditUsedUp) {
        return;
    }
    let handle = end.handles.iter().find(|handle| handle.id.get() == label.connection);
    let Some(id) = handle.filter(|handle| handle.write_blocked).map(|handle| handle.id) else {
        return;
    };
    let credit = end.actor.session().and_then(|session| session.credit(id));
    stage
        .seen
        .note_if(credit.is_some_and(|(sent, limit, _)| sent == limit), Situation::CreditUsedUp);
}

/// What the session says about itself.
fn note_sent<E: End>(stage: &mut Stage<'_>, end: &mut Endpoint<E>, sent: Label) {
    match sent.kind {
        kind::SYNC | kind::SYNC_CONNECTIONS if !end.handles.is_empty() => {
            stage.note(Situation::ListWithConnections);
        }
        kind::CREDIT if !stage.seen.has(Situation::WindowGrew) => {
            let handle = end.handles.iter().find(|handle| handle.id.get() == sent.connection);
            let Some(handle) = handle.copied() else { return };
            let stream = stage.streams.get(handle.stream);
            let read = stream.and_then(|stream| stream.view(handle.role)).map(|of| of.end().read);
            let credit = end.actor.session().and_then(|session| session.credit(handle.id));
            let limits = [&stage.schedule.knobs.agent, &stage.schedule.knobs.server];
            let first = limits.into_iter().map(|limits| limits.initial_window.max(1024)).max();
            if let (Some((_, _, granted)), Some(read), Some(first)) = (credit, read, first) {
                let grew = granted > read + u64::from(first);
                stage.seen.note_if(grew, Situation::WindowGrew);
            }
        }
        _ => {}
    }
}
