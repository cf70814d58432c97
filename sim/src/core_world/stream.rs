//! A dialled stream, with the application and the target at its ends.

use watertight_core::ConnectionId;

use crate::schedule::{StreamId, TargetPlan};
use crate::{Player, pattern};

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
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// Its place among the records. What a hostile end dials has none.
    pub(super) record: Option<usize>,
    pub(super) agent: usize,
    pub(super) plan: TargetPlan,
    pub(super) near: Player,
    pub(super) far: Option<Player>,
    /// The session and the connection that the application has.
    pub(super) seat: Option<Seat>,
    /// Where the target sits, once it was dialled.
    pub(super) far_seat: Option<Seat>,
    /// Whether one of its ends has gone by a deadline or with its session: what the remote is
    /// told then has a reason.
    pub(super) excused: bool,
    /// Whether the reset of the application, and of the target, went out behind all that it had written.
    pub(super) reset_last: [bool; 2],
    /// Whether the record lags behind the players.
    pub(super) changed: bool,
}

/// Where an end of a stream sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) link: u32,
    pub(super) side: usize,
    pub(super) id: ConnectionId,
}

impl Stream {
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
