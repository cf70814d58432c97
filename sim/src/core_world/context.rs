//! The context that all ends of a world share: the time, the streams, and the record.

use std::time::Duration;

use watertight_core::{ConnectionId, Instant};

use crate::schedule::{Host, StreamId, TargetPlan};
use crate::situation::Situations;
use crate::{Observed, Player, Schedule, Situation, StreamRecord, Trace, pattern};

/// What all ends of a world share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) trace: &'a Trace,
    pub(super) now: Instant,
    pub(super) streams: Vec<StreamState>,
    pub(super) observed: Observed,
    pub(super) seen: Situations,
    /// Targets that answer later.
    pub(super) late: Vec<Late>,
    /// All handles go: targets that are reached now let go at once.
    pub(super) closing: bool,
    /// Steps forward of applications and targets: a world without any may be stuck.
    pub(super) progress: u64,
}

/// A target that answers later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    pub(super) at: Instant,
    pub(super) link: u32,
    pub(super) side: usize,
    pub(super) id: ConnectionId,
}

/// Who acts where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) link: u32,
    /// The agent's end is 0, the server's end is 1.
    pub(super) side: usize,
    pub(super) agent: usize,
    pub(super) host: Host,
    /// Whether both ends of the link behave.
    pub(super) honest: bool,
    /// Whether nothing was done to the link that would explain the end of its sessions.
    pub(super) calm: bool,
}

impl Context<'_> {
    pub(super) fn note(&mut self, situation: Situation) {
        self.seen.note(situation);
    }

    pub(super) fn contradiction(&mut self, what: impl FnOnce() -> String) {
        let what = what();
        self.observed.contradictions.push(what);
    }

    pub(super) fn find(&self, id: StreamId) -> Option<usize> {
        self.streams.iter().position(|stream| stream.id == id && stream.record.is_some())
    }

    /// Whether a stream's target never answers.
    pub(super) fn hangs(&self, stream: usize) -> bool {
        self.streams.get(stream).is_some_and(|stream| stream.plan.hangs())
    }

    pub(super) fn record(&mut self, stream: usize) -> Option<&mut StreamRecord> {
        let record = self.streams.get(stream)?.record?;
        self.observed.streams.get_mut(record)
    }

    pub(super) fn event(&self, host: Host, what: impl FnOnce() -> String) {
        self.trace.note(self.at(), host, what);
    }

    pub(super) const fn at(&self) -> Duration {
        self.now.since_epoch()
    }
}

/// The streams of the liveness check have numbers from here on.
pub(super) const FRESH: u16 = 60_000;

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The application that dialled.
    Near,
    /// The target.
    Far,
}

/// One dialled stream.
#[derive(Debug)]
pub(super) struct StreamState {
    pub(super) id: StreamId,
    /// Its index among the records. A stream that a hostile end dials has none.
    pub(super) record: Option<usize>,
    pub(super) agent: usize,
    pub(super) plan: TargetPlan,
    pub(super) near: Player,
    pub(super) far: Option<Player>,
    /// The session and the connection that the application has.
    pub(super) connected: Option<SessionConnection>,
    /// Where the target sits, once it was dialled.
    pub(super) far_connected: Option<SessionConnection>,
    /// Whether one of its ends has ended by a deadline or with its session: the cause at the remote then has
    /// a reason.
    pub(super) excused: bool,
    /// Whether the reset of the application, and of the target, went out behind all that it had written.
    pub(super) reset_last: [bool; 2],
    /// Whether the record lags behind the players.
    pub(super) changed: bool,
}

/// Where an end of a stream sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionConnection {
    pub(super) link: u32,
    pub(super) side: usize,
    pub(super) id: ConnectionId,
}

impl StreamState {
    pub(super) fn player(&mut self, role: Role) -> Option<&mut Player> {
        self.changed = true;
        match role {
            Role::Near => Some(&mut self.near),
            Role::Far => self.far.as_mut(),
        }
    }

    pub(super) const fn view(&self, role: Role) -> Option<&Player> {
        match role {
            Role::Near => Some(&self.near),
            Role::Far => self.far.as_ref(),
        }
    }

    /// What this end writes.
    pub(super) fn writes(&self, role: Role) -> pattern::Pattern {
        let direction = match role {
            Role::Near => pattern::Direction::ToTarget,
            Role::Far => pattern::Direction::ToApplication,
        };
        pattern::Pattern::new(self.id, direction)
    }

    /// What this end reads.
    pub(super) fn reads(&self, role: Role) -> pattern::Pattern {
        self.writes(role.other())
    }

    /// Whether it belongs to the liveness check.
    pub(super) const fn is_fresh(&self) -> bool {
        self.record.is_some() && self.id.0 >= FRESH
    }

    /// Whether both ends have it open.
    pub(super) fn is_open(&self) -> bool {
        let far = self.far.as_ref().is_some_and(|far| !far.end().is_over());
        far && !self.near.end().is_over()
    }
}

impl Role {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Near => 0,
            Self::Far => 1,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}
