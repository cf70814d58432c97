//! What an end says to its applications and targets, and what they make of it.

use watertight_core::session::{Fault, ProtocolViolation};
use watertight_core::{Cause, ConnectionId, SessionEnd};

use super::actor::{Retired, Told};
use super::endpoint::{Endpoint, Handle};
use super::stage::{Late, Place, Stage};
use super::stream::{Role, Seat, Stream};
use super::tunnel::End;
use super::world::AGENT;
use crate::schedule::{
    AgentKind, Answer, HANGING, Knobs, StreamId, TargetPlan, TargetReads, millis,
};
use crate::{DialOutcome, Player, Situation};

/// Takes in everything that an end has to say.
pub(super) fn take_events<E: End>(end: &mut Endpoint<E>, stage: &mut Stage<'_>, place: Place) {
    while let Some(told) = end.actor.poll_event() {
        stage.told(place.host, || format!("{told:?}"));
        on_event(end, stage, place, told);
    }
}

fn on_event<E: End>(end: &mut Endpoint<E>, stage: &mut Stage<'_>, place: Place, told: Told) {
    match told {
        Told::Incoming { id, target } => on_incoming(end, stage, place, id, &target),
        Told::Opened(id) => on_opened(end, stage, id),
        Told::Readable(id) => wake(end, stage, id, |handle| handle.read_blocked = false),
        Told::Writable(id) => wake(end, stage, id, |handle| handle.write_blocked = false),
        Told::Ended(id) => wake(end, stage, id, |handle| {
            (handle.read_blocked, handle.write_blocked) = (false, false);
            handle.ended = true;
        }),
        Told::Retired(id, how) => on_retired(end, stage, place, id, how),
        Told::Route => stage.contradiction(|| "a route of an end that is no peer".into()),
        Told::GoingAway => {}
        Told::Closed(why) => on_closed(end, stage, place, why),
    }
}

fn wake<E: End>(
    end: &mut Endpoint<E>,
    stage: &mut Stage<'_>,
    id: ConnectionId,
    change: impl FnOnce(&mut Handle),
) {
    match end.handle(id) {
        Some(handle) => {
            change(handle);
            handle.ready = true;
        }
        None => stage.contradiction(|| format!("an event of connection {id}, which is gone")),
    }
}

fn on_incoming<E: End>(
    end: &mut Endpoint<E>,
    stage: &mut Stage<'_>,
    place: Place,
    id: ConnectionId,
    target: &str,
) {
    if end.handle(id).is_some() {
        stage.contradiction(|| format!("connection {id} comes in twice"));
        return;
    }
    let stream =
        if place.honest { expected(stage, place, id, target) } else { Some(strange(stage, place)) };
    let Some(stream) = stream else {
        stage.contradiction(|| format!("a dial of {target:?}, which nobody dialled"));
        return;
    };
    let answer = stage.streams.get(stream).map_or(Answer::Refuse, |stream| stream.plan.answer);
    let arrived = end.take_early(id);
    end.handles.push(Handle { arrived, ..Handle::new(id, stream, Role::Far, false) });
    match answer {
        Answer::Accept => accept(end, stage, place, id),
        Answer::Refuse => end.actor.refuse(stage.now, id),
        Answer::Late(after) => {
            let at = stage.now + millis(after);
            stage.late.push(Late { at, link: place.link, side: place.side, id });
        }
        Answer::Hang => {}
    }
}

/// The stream that was dialled, if it was dialled here and for the first time.
fn expected(stage: &Stage<'_>, place: Place, id: ConnectionId, target: &str) -> Option<usize> {
    let dialled = Seat { link: place.link, side: 1 - place.side, id };
    if target == HANGING {
        let seated = |stream: &Stream| stream.seat == Some(dialled);
        // Its application may be gone, and with it who could be told apart from the others.
        let of_nobody = || stage.streams.iter().position(|stream| stream.plan.hangs());
        return stage.streams.iter().position(seated).or_else(of_nobody);
    }
    let place_of_stream = stage.find(StreamId::of_target(target)?)?;
    let stream = stage.streams.get(place_of_stream)?;
    // The application may be gone by now, and its seat with it.
    let here = stream.seat.is_none_or(|seat| seat == dialled);
    (here && stream.agent == place.agent && stream.far.is_none()).then_some(place_of_stream)
}

/// What is reached by every other dial of a hostile end: it takes nothing in.
const DEAF: TargetPlan = TargetPlan { reads: TargetReads::UpTo(0), ..TargetPlan::ECHO };

/// A hostile end's dial: a stream of which nothing is expected.
fn strange(stage: &mut Stage<'_>, place: Place) -> usize {
    stage.streams.push(Stream {
        id: StreamId(u16::MAX),
        record: None,
        agent: place.agent,
        plan: if stage.streams.len().is_multiple_of(2) { TargetPlan::ECHO } else { DEAF },
        near: Player::application(),
        far: None,
        seat: None,
        far_seat: None,
        excused: false,
        reset_last: [false; 2],
        changed: false,
    });
    stage.streams.len() - 1
}

/// The target is reached.
pub(super) fn accept<E: End>(
    end: &mut Endpoint<E>,
    stage: &mut Stage<'_>,
    place: Place,
    id: ConnectionId,
) {
    // If the dial is over, the event that says so takes the handle away.
    let accepted = end.actor.accept(stage.now, id);
    let Some(handle) = end.handle(id).filter(|_| accepted) else { return };
    (handle.open, handle.ready) = (true, true);
    let stream = handle.stream;
    if let Some(stream) = stage.streams.get_mut(stream) {
        let mut target = Player::target(&stream.plan);
        if stage.closing && !stream.is_fresh() {
            target.let_go();
        }
        stream.far = Some(target);
        stream.far_seat = Some(Seat { link: place.link, side: place.side, id });
        stream.changed = true;
    }
}

fn on_opened<E: End>(end: &mut Endpoint<E>, stage: &mut Stage<'_>, id: ConnectionId) {
    let Some(handle) = end.handle(id).filter(|handle| handle.role == Role::Near && !handle.open)
    else {
        stage.contradiction(|| format!("connection {id} opened out of turn"));
        return;
    };
    (handle.open, handle.ready) = (true, true);
    let stream = handle.stream;
    if let Some(record) = stage.record(stream)
        && record.dial == DialOutcome::Pending
    {
        record.dial = DialOutcome::Opened;
    }
}

fn on_retired<E: End>(
    end: &mut Endpoint<E>,
    stage: &mut Stage<'_>,
    place: Place,
    id: ConnectionId,
    how: Retired,
) {
    let Some(place_of_handle) = end.handles.iter().position(|handle| handle.id == id) else {
        stage.contradiction(|| format!("connection {id} retired twice"));
        return;
    };
    let handle = end.handles.remove(place_of_handle);
    demand_reason(stage, place, handle, how);
    note_owed(stage, place, handle, how);
    if let Some(record) = stage.record(handle.stream)
        && handle.role == Role::Near
        && record.dial == DialOutcome::Pending
    {
        record.dial = DialOutcome::Failed(how.why.into());
    }
    let Some(stream) = stage.streams.get_mut(handle.stream) else { return };
    match handle.role {
        Role::Near => stream.seat = None,
        Role::Far => stream.far_seat = stream.far_seat.filter(|_| handle.open),
    }
    let Some(player) = stream.player(handle.role) else { return };
    let over = player.end().let_go || player.is_done();
    if !over && how.complete && player.appetite() > 0 {
        player.saw_eof();
    }
    if !over && !player.is_done() {
        player.broke(how.why);
    }
    stage.progress += 1;
}

/// Between two ends that behave, a connection is not reset unless one of them lets go of it, and
/// no list ever misses one.
fn demand_reason(stage: &mut Stage<'_>, place: Place, handle: Handle, how: Retired) {
    let agent = stage.schedule.cast.agents.get(place.agent);
    // It goes on writing when it reads, whatever it was asked (bug R2).
    let obeys = agent.is_some_and(|agent| agent.kind != AgentKind::Remotedialer);
    let stream = stage.streams.get_mut(handle.stream);
    let Some(stream) = stream.filter(|_| place.honest) else { return };
    let reached = stream.far.as_ref();
    let gone = |player: &Player| player.end().let_go || player.end().broken.is_some();
    let reason = stream.excused || reached.is_none_or(gone) || gone(&stream.near);
    let wrong = match how.cause {
        Some(Cause::NotListed) => true,
        Some(Cause::RemoteReset | Cause::Aborted | Cause::Dropped | Cause::Vanished) => !reason,
        // A Pause that was lost could not be obeyed.
        Some(Cause::Overrun) => {
            !reason && place.calm && obeys && holds_a_path(&stage.schedule.knobs, place.side)
        }
        Some(Cause::Finished) | None => false,
        Some(_) => {
            stream.excused = true;
            false
        }
    };
    if wrong {
        let what = format!("{} ended for no reason ({})", stream.id, how.why);
        stage.contradiction(|| what);
    }
}

/// What must have been read by now: all that was written ahead of a reset, and all that had arrived
/// when the session ended.
fn note_owed(stage: &mut Stage<'_>, place: Place, handle: Handle, how: Retired) {
    let Some(stream) = stage.streams.get_mut(handle.stream) else { return };
    let (own, other) = (handle.role, handle.role.other());
    let Some(player) = stream.view(own) else { return };
    let let_go = player.end().let_go;
    let reads_on = stream.view(other).is_some_and(|reader| reader.appetite() > 0);
    let owed = match how.cause {
        // Who reads has what was written before the end, however slow the link is.
        Some(Cause::LingerTimeout) if let_go && place.calm && reads_on => {
            if let Some(last) = stream.reset_last.get_mut(own.index()) {
                *last = true;
            }
            None
        }
        Some(Cause::Aborted | Cause::Dropped | Cause::Vanished) if let_go => {
            if let Some(last) = stream.reset_last.get_mut(own.index()) {
                *last = true;
            }
            None
        }
        Some(Cause::RemoteReset) if stream.reset_last.get(other.index()) == Some(&true) => {
            stream.view(other).map(|writer| writer.end().written)
        }
        Some(Cause::SessionEnded) => Some(handle.arrived),
        _ => None,
    };
    if let Some(owed) = owed.filter(|_| !let_go)
        && let Some(player) = stream.player(own)
    {
        player.was_owed(owed);
    }
}

/// Whether an end holds more than the links do: one that holds less may reset a connection whose
/// other end obeys. While a Pause is on its way, as much again follows what was there.
fn holds_a_path(knobs: &Knobs, side: usize) -> bool {
    let limits = if side == AGENT { &knobs.agent } else { &knobs.server };
    let path = knobs.link.capacity.saturating_add(limits.pause_above).saturating_mul(3);
    limits.unread_cap.min(limits.unread_budget) > path
}

fn on_closed<E: End>(
    end: &mut Endpoint<E>,
    stage: &mut Stage<'_>,
    place: Place,
    why: Option<SessionEnd>,
) {
    end.closed += 1;
    let Some(why) = why else { return };
    if let Some(situation) = Situation::of_session(&why) {
        stage.note(situation);
    }
    // An end that says much and does not listen is at fault without breaking a rule: a pipe that
    // takes nothing makes such an end of the best one.
    let unread = matches!(&why, SessionEnd::ProtocolViolation(ProtocolViolation::AnswersUnread(_)));
    let blames = place.honest && why.fault() == Fault::Remote;
    if (blames || place.calm) && !unread {
        let mut hosts = stage.observed.hosts.iter_mut();
        if let Some(books) = hosts.find(|books| books.host == place.host) {
            books.blamed = Some(why.to_string());
        }
    }
}
