//! What happens in one run, as data.

mod action;
mod cast;
mod check;
mod generate;
mod hostile;
mod knobs;
mod target;

use serde::{Deserialize, Serialize};

pub use action::Action;
pub use action::{BrokenFrames, Opening};
pub(crate) use cast::HANGING;
pub use cast::{Agent, AgentKind, Cast, TargetSide, Transport};
pub use cast::{Host, StreamId};
pub use hostile::HostileMessage;
pub(crate) use hostile::unsigned;
pub(crate) use knobs::millis;
pub use knobs::{Hosts, Knobs, Limits, LinkKnobs, Timing};
pub use target::{Answer, TargetEnd, TargetPlan, TargetReads, TargetWrites};

/// The version of the format. A file of another one is refused: it would mean something else.
pub const VERSION: u32 = 3;

/// Who is there, under which conditions, and what happens, in order.
///
/// It is complete: nothing of a run depends on anything else. The seed is its short name and seeds the random
/// numbers that are drawn while it runs, those of turmoil and of tokio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// See [`VERSION`].
    pub version: u32,
    /// The seed that it came from.
    pub seed: u64,
    /// Who is there.
    pub cast: Cast,
    /// Limits, times and the quality of the links.
    pub knobs: Knobs,
    /// What happens.
    pub steps: Vec<Step>,
    /// How the applications end what is still open when the steps are over.
    pub traffic_end: TrafficEnd,
}

impl Schedule {
    /// Whether unauthenticated remotes connect, or answer.
    pub(crate) fn has_unauthenticated(&self) -> bool {
        let is_theirs = |action: &Action| {
            matches!(action, Action::UnauthenticatedConnect { .. } | Action::Impersonate { .. })
        };
        self.steps.iter().any(|step| is_theirs(&step.action))
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Milliseconds of virtual time since the step before.
    pub after: u32,
    /// What happens then.
    pub action: Action,
}

/// How the applications end what is still open when the steps are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficEnd {
    /// They write what they still have to, finish and read to the end. Those whose far end never
    /// finishes let go after a while.
    Finish,
    /// They drop their handles.
    Drop,
    /// The hosts shut down while everything is still open.
    Shutdown,
}
