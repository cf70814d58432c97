//! The streams of a run, and the players at their ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::plan::RunPlan;
use super::shared_player::{Promise, SharedPlayer};
use crate::Player;
use crate::invariant::fits;
use crate::observed::{DialOutcome, StreamRecord};
use crate::pattern::Direction;
use crate::schedule::{Answer, Host, StreamId, TargetEnd, TargetPlan, TargetReads, TargetSide};

/// Timers go by whole milliseconds.
const SLACK: Duration = Duration::from_millis(2);

/// One stream that an application dials.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) plan: TargetPlan,
    /// Where the application is.
    pub(super) from: Host,
    /// The agent that is dialled, or that dials.
    pub(super) agent: u8,
    pub(super) within: Duration,
    pub(super) honest: bool,
    pub(super) half_closes: bool,
    pub(super) near: Arc<SharedPlayer>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dial: DialOutcome,
    /// When the dial must have an answer, once it has begun.
    deadline: Duration,
    /// When it had one.
    settled: Option<Duration>,
    /// The targets that were reached. A dial whose session ends may be tried again on another one: the first
    /// target then stays with a stream without traffic.
    far: Vec<Arc<SharedPlayer>>,
    /// Targets that come now let go at once.
    is_dismissed: bool,
}

/// The terms of a stream in the schedule.
pub(super) struct Terms {
    pub(super) id: StreamId,
    pub(super) plan: TargetPlan,
    pub(super) from: Host,
    pub(super) agent: u8,
    pub(super) within: Duration,
    pub(super) honest: bool,
    pub(super) half_closes: bool,
}

impl Stream {
    pub(super) fn new(terms: Terms) -> Self {
        let Terms { id, plan, from, agent, within, honest, half_closes } = terms;
        let near = Arc::new(SharedPlayer::new(id, Direction::ToTarget, Player::application()));
        let state = Mutex::new(State {
            dial: DialOutcome::Pending,
            deadline: Duration::MAX,
            settled: None,
            far: Vec::new(),
            is_dismissed: false,
        });
        Self { id, plan, from, agent, within, honest, half_closes, near, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is dialled.
    pub(super) fn target(&self) -> String {
        self.id.target()
    }

    /// Seats a target that was reached.
    pub(super) fn add_target(&self) -> Arc<SharedPlayer> {
        let mut player = Player::target(&self.plan);
        let mut state = self.lock();
        if state.is_dismissed {
            player.let_go();
        }
        let shared = Arc::new(SharedPlayer::new(self.id, Direction::ToApplication, player));
        state.far.push(Arc::clone(&shared));
        shared
    }

    /// The dial begins.
    pub(super) fn begin(&self, now: Duration) {
        self.lock().deadline = now + self.within + SLACK;
    }

    pub(super) fn settle(&self, now: Duration, outcome: DialOutcome) {
        let mut state = self.lock();
        state.dial = outcome;
        state.settled = Some(now);
    }

    pub(super) fn dial(&self) -> DialOutcome {
        self.lock().dial.clone()
    }

    pub(super) fn is_dialling(&self) -> bool {
        self.lock().dial == DialOutcome::Pending
    }

    /// Whether there is a stream that its application has not left.
    pub(super) fn is_open(&self) -> bool {
        self.lock().dial == DialOutcome::Opened && !self.near.lock().player.end().is_over()
    }

    /// Whether nothing more happens at the application.
    pub(super) fn is_over(&self) -> bool {
        !self.is_dialling() && !self.is_open()
    }

    /// Whether bytes have moved on it, and it is still there.
    pub(super) fn is_moving(&self) -> bool {
        let state = self.near.lock();
        let end = state.player.end();
        let moved = end.written + end.read > 0;
        drop(state);
        moved && self.is_open()
    }

    /// Whether its two ends meet their ends by themselves once the application finishes and reads
    /// everything.
    pub(super) fn comes_to_an_end(&self) -> bool {
        let ends = matches!(self.plan.end, TargetEnd::AfterEof | TargetEnd::AfterWriting);
        self.plan.reads == TargetReads::All && ends && self.plan.answer != Answer::Hang
    }

    /// Whether every target has left: the application has to be notified.
    pub(super) fn is_left(&self) -> bool {
        let far = self.lock().far.clone();
        let ends: Vec<_> = far.iter().map(|shared| shared.end()).collect();
        self.honest && !ends.is_empty() && ends.iter().all(|end| end.is_over())
    }

    /// The application's process has died, maybe before it heard of this stream.
    pub(super) fn die(&self, now: Duration) {
        if self.is_dialling() {
            self.settle(now, DialOutcome::GivenUp);
        }
        let mut near = self.near.lock();
        if !near.player.end().is_over() {
            near.player.disconnected();
        }
    }

    /// Whether an end has stopped reading the bytes of its remote.
    pub(super) fn is_unread(&self) -> bool {
        let far = self.lock().far.last().cloned();
        let Some(far) = far else { return false };
        let (near, far) = (self.near.lock(), far.lock());
        let unread = |reads: &Player, writes: &Player| {
            let over = reads.end().is_over() || reads.end().eof;
            !over && reads.appetite() == 0 && writes.end().written > reads.end().read
        };
        unread(&near.player, &far.player) || unread(&far.player, &near.player)
    }

    /// Whether so many bytes moved in one direction.
    pub(super) fn moved(&self, bytes: u64) -> bool {
        let near = self.near.end();
        near.read.max(near.written) >= bytes
    }

    pub(super) fn was_answered(&self) -> bool {
        self.near.lock().answered
    }

    /// Whether the agent holds the socket of a target though the application has left.
    pub(super) fn holds_socket(&self, plan: &RunPlan) -> bool {
        let agent = plan.agent(self.agent);
        let dials = agent.is_some_and(|agent| agent.targets == TargetSide::Dialer);
        let is_socket = dials && matches!(self.from, Host::Server(_));
        is_socket && self.lock().far.iter().any(|shared| shared.is_held())
    }

    /// How many targets have an open end.
    pub(super) fn open_targets(&self) -> u64 {
        self.lock().far.iter().filter(|shared| shared.is_held()).count() as u64
    }

    /// Has its targets let go.
    pub(super) fn dismiss_targets(&self) {
        let mut state = self.lock();
        state.is_dismissed = true;
        let far = state.far.clone();
        drop(state);
        far.iter().for_each(|shared| shared.update(Player::let_go));
    }

    /// A byte that came where another one should.
    pub(super) fn wrong(&self) -> Option<String> {
        if !self.honest {
            return None;
        }
        let far = self.lock().far.clone();
        let wrong = |shared: &Arc<SharedPlayer>| shared.lock().wrong.clone();
        let players = far.iter().chain([&self.near]);
        // A base end sends no codes.
        let named =
            |shared: &Arc<SharedPlayer>| if self.half_closes { shared.misnamed() } else { None };
        players.clone().find_map(wrong).or_else(|| players.clone().find_map(named))
    }

    /// Whether a read at one of its ends waits though its deadline passed before this moment.
    pub(super) fn is_overdue(&self, moment: Duration) -> bool {
        let state = self.lock();
        state.far.iter().chain([&self.near]).any(|shared| shared.is_overdue(moment))
    }

    /// Notes the ends that do not read though the remote has left.
    pub(super) fn note_waiting(&self) {
        for far in &self.lock().far {
            far.note_waiting(&self.near);
            self.near.note_waiting(far);
        }
    }

    /// Its record. Of several targets, the one that fits is the one.
    pub(super) fn record(&self, promise: Promise) -> StreamRecord {
        let state = self.lock();
        let record = |far: Option<&Arc<SharedPlayer>>| StreamRecord {
            stream: self.id,
            deadline: state.deadline,
            settled: state.settled,
            dial: state.dial.clone(),
            near: far.map_or_else(|| self.near.end(), |far| self.near.end_after(far, promise)),
            far: far.map(|far| far.end_after(&self.near, promise)),
            honest: self.honest,
            half_closes: self.half_closes,
        };
        let mut records = state.far.iter().rev().map(|shared| record(Some(shared)));
        let Some(latest) = records.next() else { return record(None) };
        if fits(&latest) {
            return latest;
        }
        records.find(fits).unwrap_or(latest)
    }
}
