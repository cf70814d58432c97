//! The events of an end, and their effects on its applications and targets.

use watertight_core::session::{Fault, ProtocolViolation};
use watertight_core::{Cause, ConnectionId, SessionEnd};

use super::context::{Context, Late, Role, SessionConnection, Site, StreamState};
use super::link::{Endpoint, Handle};
use super::tunnel::{ActorEvent, End, Retired};
use super::world::AGENT;
use crate::schedule::{
    AgentKind, Answer, HANGING, Knobs, StreamId, TargetPlan, TargetReads, millis,
};
use crate::{DialOutcome, Player, Situation};

/// Processes all events of an end.
pub(super) fn take_events<E: End>(end: &mut Endpoint<E>, context: &mut Context<'_>, site: Site) {
    while let Some(event) = end.actor.poll_event() {
        context.event(site.host, || format!("{event:?}"));
        on_event(end, context, site, event);
    }
}

fn on_event<E: End>(
    end: &mut Endpoint<E>,
    context: &mut Context<'_>,
    site: Site,
    event: ActorEvent,
) {
    match event {
        ActorEvent::Incoming { id, target } => on_incoming(end, context, site, id, &target),
        ActorEvent::Opened(id) => on_opened(end, context, id),
        ActorEvent::Readable(id) => wake(end, context, id, |handle| handle.read_blocked = false),
        ActorEvent::Writable(id) => wake(end, context, id, |handle| handle.write_blocked = false),
        ActorEvent::Ended(id) => wake(end, context, id, |handle| {
            (handle.read_blocked, handle.write_blocked) = (false, false);
            handle.ended = true;
        }),
        ActorEvent::Retired(id, how) => on_retired(end, context, site, id, how),
        ActorEvent::Route => context.contradiction(|| "a route of an end that is no peer".into()),
        ActorEvent::GoingAway => {}
        ActorEvent::Closed(why) => on_closed(end, context, site, why),
    }
}

fn wake<E: End>(
    end: &mut Endpoint<E>,
    context: &mut Context<'_>,
    id: ConnectionId,
    change: impl FnOnce(&mut Handle),
) {
    match end.handle(id) {
        Some(handle) => {
            change(handle);
            handle.ready = true;
        }
        None => context.contradiction(|| format!("an event of connection {id}, which is gone")),
    }
}

fn on_incoming<E: End>(
    end: &mut Endpoint<E>,
    context: &mut Context<'_>,
    site: Site,
    id: ConnectionId,
    target: &str,
) {
    if end.handle(id).is_some() {
        context.contradiction(|| format!("connection {id} comes in twice"));
        return;
    }
    let stream = if site.honest {
        expected(context, site, id, target)
    } else {
        Some(strange(context, site))
    };
    let Some(stream) = stream else {
        context.contradiction(|| format!("a dial of {target:?}, which nobody dialled"));
        return;
    };
    let answer = context.streams.get(stream).map_or(Answer::Refuse, |stream| stream.plan.answer);
    let arrived = end.take_early(id);
    end.handles.push(Handle { arrived, ..Handle::new(id, stream, Role::Far, false) });
    match answer {
        Answer::Accept => accept(end, context, site, id),
        Answer::Refuse => end.actor.refuse(context.now, id),
        Answer::Late(after) => {
            let at = context.now + millis(after);
            context.late.push(Late { at, link: site.link, side: site.side, id });
        }
        Answer::Hang => {}
    }
}

/// The stream that was dialled, if it was dialled here and for the first time.
fn expected(context: &Context<'_>, site: Site, id: ConnectionId, target: &str) -> Option<usize> {
    let dialled = SessionConnection { link: site.link, side: 1 - site.side, id };
    if target == HANGING {
        let seated = |stream: &StreamState| stream.connected == Some(dialled);
        // Its application may have left, and with it the difference from the others.
        let of_nobody = || context.streams.iter().position(|stream| stream.plan.hangs());
        return context.streams.iter().position(seated).or_else(of_nobody);
    }
    let place_of_stream = context.find(StreamId::of_target(target)?)?;
    let stream = context.streams.get(place_of_stream)?;
    // The application may be gone by now, and its seat with it.
    let here = stream.connected.is_none_or(|connected| connected == dialled);
    (here && stream.agent == site.agent && stream.far.is_none()).then_some(place_of_stream)
}

/// The target of every other dial of a hostile end: it reads nothing.
const DEAF: TargetPlan = TargetPlan { reads: TargetReads::UpTo(0), ..TargetPlan::ECHO };

/// A hostile end's dial: a stream of which nothing is expected.
fn strange(context: &mut Context<'_>, site: Site) -> usize {
    context.streams.push(StreamState {
        id: StreamId(u16::MAX),
        record: None,
        agent: site.agent,
        plan: if context.streams.len().is_multiple_of(2) { TargetPlan::ECHO } else { DEAF },
        near: Player::application(),
        far: None,
        connected: None,
        far_connected: None,
        excused: false,
        reset_last: [false; 2],
        changed: false,
    });
    context.streams.len() - 1
}

/// The target is reached.
pub(super) fn accept<E: End>(
    end: &mut Endpoint<E>,
    context: &mut Context<'_>,
    site: Site,
    id: ConnectionId,
) {
    // If the dial has ended, its event takes the handle away.
    let accepted = end.actor.accept(context.now, id);
    let Some(handle) = end.handle(id).filter(|_| accepted) else { return };
    (handle.open, handle.ready) = (true, true);
    let stream = handle.stream;
    if let Some(stream) = context.streams.get_mut(stream) {
        let mut target = Player::target(&stream.plan);
        if context.closing && !stream.is_fresh() {
            target.let_go();
        }
        stream.far = Some(target);
        stream.far_connected = Some(SessionConnection { link: site.link, side: site.side, id });
        stream.changed = true;
    }
}

fn on_opened<E: End>(end: &mut Endpoint<E>, context: &mut Context<'_>, id: ConnectionId) {
    let Some(handle) = end.handle(id).filter(|handle| handle.role == Role::Near && !handle.open)
    else {
        context.contradiction(|| format!("connection {id} opened out of turn"));
        return;
    };
    (handle.open, handle.ready) = (true, true);
    let stream = handle.stream;
    if let Some(record) = context.record(stream)
        && record.dial == DialOutcome::Pending
    {
        record.dial = DialOutcome::Opened;
    }
}

fn on_retired<E: End>(
    end: &mut Endpoint<E>,
    context: &mut Context<'_>,
    site: Site,
    id: ConnectionId,
    how: Retired,
) {
    let Some(place_of_handle) = end.handles.iter().position(|handle| handle.id == id) else {
        context.contradiction(|| format!("connection {id} retired twice"));
        return;
    };
    let handle = end.handles.remove(place_of_handle);
    demand_reason(context, site, handle, how);
    note_owed(context, site, handle, how);
    if let Some(record) = context.record(handle.stream)
        && handle.role == Role::Near
        && record.dial == DialOutcome::Pending
    {
        record.dial = DialOutcome::Failed(how.why.into());
    }
    let Some(stream) = context.streams.get_mut(handle.stream) else { return };
    match handle.role {
        Role::Near => stream.connected = None,
        Role::Far => stream.far_connected = stream.far_connected.filter(|_| handle.open),
    }
    let Some(player) = stream.player(handle.role) else { return };
    let over = player.end().let_go || player.is_done();
    if !over && how.complete && player.appetite() > 0 {
        player.saw_eof();
    }
    if !over && !player.is_done() {
        player.broke(how.why);
    }
    context.progress += 1;
}

/// Between two ends that behave, a connection is not reset unless one of them lets go of it, and
/// no list ever misses one.
fn demand_reason(context: &mut Context<'_>, site: Site, handle: Handle, how: Retired) {
    let agent = context.schedule.cast.agents.get(site.agent);
    // It continues to write while it reads, in spite of a Pause (bug R2).
    let obeys = agent.is_some_and(|agent| agent.kind != AgentKind::Remotedialer);
    let stream = context.streams.get_mut(handle.stream);
    let Some(stream) = stream.filter(|_| site.honest) else { return };
    let reached = stream.far.as_ref();
    let disconnected = |player: &Player| player.end().let_go || player.end().broken.is_some();
    let reason = stream.excused || reached.is_none_or(disconnected) || disconnected(&stream.near);
    let wrong = match how.cause {
        Some(Cause::NotListed) => true,
        Some(Cause::RemoteReset | Cause::Aborted | Cause::Dropped | Cause::Vanished) => !reason,
        // A Pause that was lost could not be obeyed.
        Some(Cause::Overrun) => {
            !reason && site.calm && obeys && holds_a_path(&context.schedule.knobs, site.side)
        }
        Some(Cause::Finished) | None => false,
        Some(_) => {
            stream.excused = true;
            false
        }
    };
    if wrong {
        let what = format!("{} ended for no reason ({})", stream.id, how.why);
        context.contradiction(|| what);
    }
}

/// What must have been read by now: all that was written ahead of a reset, and all that had arrived
/// when the session ended.
fn note_owed(context: &mut Context<'_>, site: Site, handle: Handle, how: Retired) {
    let Some(stream) = context.streams.get_mut(handle.stream) else { return };
    let (own, other) = (handle.role, handle.role.other());
    let Some(player) = stream.view(own) else { return };
    let let_go = player.end().let_go;
    let reads_on = stream.view(other).is_some_and(|reader| reader.appetite() > 0);
    let owed = match how.cause {
        // Who reads has what was written before the end, however slow the link is.
        Some(Cause::LingerTimeout) if let_go && site.calm && reads_on => {
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

/// Whether an end holds more than the links do: an end that holds less may reset a connection whose remote
/// obeys. While a Pause is in transit, as much again follows.
fn holds_a_path(knobs: &Knobs, side: usize) -> bool {
    let limits = if side == AGENT { &knobs.agent } else { &knobs.server };
    let path = knobs.link.capacity.saturating_add(limits.pause_above).saturating_mul(3);
    limits.unread_cap.min(limits.unread_budget) > path
}

fn on_closed<E: End>(
    end: &mut Endpoint<E>,
    context: &mut Context<'_>,
    site: Site,
    why: Option<SessionEnd>,
) {
    end.closed += 1;
    let Some(why) = why else { return };
    if let Some(situation) = Situation::of_session(&why) {
        context.note(situation);
    }
    // An end that sends much and does not read is at fault without breaking a rule: a pipe that takes nothing
    // makes such an end of the best one.
    let unread = matches!(&why, SessionEnd::ProtocolViolation(ProtocolViolation::AnswersUnread(_)));
    let blames = site.honest && why.fault() == Fault::Remote;
    if (blames || site.calm) && !unread {
        let mut hosts = context.observed.hosts.iter_mut();
        if let Some(host_ledger) = hosts.find(|host_ledger| host_ledger.host == site.host) {
            host_ledger.blamed = Some(why.to_string());
        }
    }
}
