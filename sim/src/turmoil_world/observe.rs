//! What the invariants are shown.

use std::sync::Arc;
use std::time::Duration;

use super::stage::Stage;
use super::standing::out_of_step;
use super::strangers::length;
use super::stream::Stream;
use crate::Heap;
use crate::invariant::When;
use crate::observed::Observed;
use crate::schedule::{Action, Schedule};
use crate::situation::Situation;

/// What the library and turmoil take for a host that has nothing to do, and for each session: measured, and
/// doubled. Buffers come and go with the traffic.
const AT_REST: u64 = 320 << 10;

/// What turmoil keeps of a connection that did not come about.
const ATTEMPT: u64 = 2 << 10;

/// What turmoil's queues keep of the room for a segment that was once under way: they double, and a
/// host has some of a connection that is gone.
const SEGMENT: u64 = 512;

/// What a run may take at most beside what the limits allow: the hosts' runtimes, what handshakes
/// and read buffers take, and what links hold that nobody reads. Measured at its peak, and doubled.
const WORKING: u64 = 4 << 20;

/// What a thread may have kept of an earlier run, and gives back in this one.
const NOISE: i64 = 4 << 10;

/// What may be held when it is quiet.
pub(super) fn at_rest(stage: &Stage) -> u64 {
    let link = &stage.schedule.knobs.link;
    let portion = u64::from(link.portion.max(1));
    let host = AT_REST + SEGMENT * u64::from(link.capacity) / portion;
    let queued = SEGMENT * written(&stage.schedule) / portion;
    host * stage.hosts().count() as u64 + queued + ATTEMPT * stage.attempts()
}

/// What may be held while it runs.
fn working(stage: &Stage) -> u64 {
    let portion = u64::from(stage.schedule.knobs.link.portion.max(1));
    let under_way = strangers_say(&stage.schedule);
    WORKING + ATTEMPT * stage.attempts() + under_way + SEGMENT * under_way / portion
}

/// The most that strangers have under way: each of their sockets what it says, and in a server's place
/// two for each agent, of which one has ended.
fn strangers_say(schedule: &Schedule) -> u64 {
    let agents = schedule.cast.agents.len() as u64;
    let said = schedule.steps.iter().map(|step| match &step.action {
        Action::StrangersConnect { sockets, opening, .. } => u64::from(*sockets) * length(opening),
        Action::Impersonate { opening, .. } => 2 * agents * length(opening),
        _ => 0,
    });
    said.sum()
}

/// What the applications write: for a host that is dead, turmoil queues all of it, whatever a socket
/// holds.
fn written(schedule: &Schedule) -> u64 {
    let written = schedule.steps.iter().map(|step| match step.action {
        Action::Write { bytes, .. } => u64::from(bytes),
        _ => 0,
    });
    written.sum()
}

/// Everything that the invariants look at, now.
pub(super) fn observe(when: When, stage: &Stage, heap: Heap) -> Observed {
    let hosts = stage.hosts().filter_map(|host| stage.at(host, |desk| desk.books(stage, host)));
    let hosts: Vec<_> = hosts.collect();
    let streams = stage.streams();
    note(stage, &streams);
    let promise = stage.promise();
    let mut contradictions = stage.contradictions();
    if when != When::Running {
        contradictions.extend(unended(stage));
        contradictions.extend(out_of_step(stage));
    }
    contradictions.extend(overdrawn(heap));
    contradictions.extend(streams.iter().find_map(|stream| stream.wrong()));
    Observed {
        now: stage.now(),
        streams: streams.iter().map(|stream| stream.record(promise)).collect(),
        heap: u64::try_from(heap.held()).unwrap_or(0),
        heap_peak: u64::try_from(heap.most()).unwrap_or(0),
        heap_bound: working(stage),
        heap_at_rest: at_rest(stage),
        hosts,
        contradictions,
        crowded_out: Vec::new(),
        errors_logged: stage.errors(),
        stuck: overdue(stage, &streams).into_iter().collect(),
        kept_out: stage.kept_out().into_iter().collect(),
        strangers: stage.door().allowed_too_much(stage.now()).into_iter().collect(),
    }
}

/// So late a read may hear of its deadline: a tick or two, and what is between two looks.
const LATE: Duration = Duration::from_millis(200);

fn overdue(stage: &Stage, streams: &[Arc<Stream>]) -> Option<String> {
    let moment = stage.now().checked_sub(LATE)?;
    let stream = streams.iter().find(|stream| stream.is_overdue(moment))?;
    Some(format!("a read of {} waits beyond its deadline", stream.id))
}

/// More was given back than was ever taken: what is held would seem to be less than it is.
pub(super) fn overdrawn(heap: Heap) -> Option<String> {
    (heap.held() < -NOISE).then(|| format!("{} bytes of heap are held", heap.held()))
}

/// How many first windows are much.
const MANY_WINDOWS: u64 = 8;

fn note(stage: &Stage, streams: &[Arc<Stream>]) {
    let knobs = &stage.schedule.knobs;
    let much =
        MANY_WINDOWS * u64::from(knobs.server.initial_window.max(knobs.agent.initial_window));
    for stream in streams {
        stream.note_waiting();
        stage.note_if(stream.is_unread(), Situation::ReaderStopped);
        stage.note_if(stream.moved(much), Situation::MuchMoved);
        stage.note_if(stream.was_answered(), Situation::AnswerAfterFinish);
    }
}

fn unended(stage: &Stage) -> Option<String> {
    stage.hosts().find_map(|host| match stage.at(host, |desk| desk.unended()) {
        Some(count @ 1..) => Some(format!("{host} never told of the end of {count} sessions")),
        _ => None,
    })
}

/// The same for software that has shut down in order, once each.
pub(super) fn observe_closed(stage: &Stage) -> Observed {
    Observed { now: stage.now(), hosts: stage.take_closed(), ..Observed::default() }
}
