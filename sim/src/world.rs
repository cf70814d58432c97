//! The two worlds that run schedules, and the outcome of a run.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::situation::Seen;
use crate::violation::Violation;
use crate::{Schedule, Trace, core_world, turmoil_world};

/// Where schedules are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// Sessions of `watertight-core` and virtual pipes, without a runtime.
    Core,
    /// The real server and agents on turmoil's simulated hosts.
    Turmoil,
}

/// What became of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What must not happen and did.
    pub violation: Option<Violation>,
    /// Which interesting situations it got into.
    pub seen: Seen,
    /// How much virtual time has passed.
    pub virtual_time: Duration,
}

impl World {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Core, Self::Turmoil];

    /// Its name on the command line and in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Turmoil => "turmoil",
        }
    }

    /// Runs a schedule, checks every invariant on the way, and tells the story to `trace`.
    ///
    /// A panic is a violation like any other, and the only one after which the world is not taken
    /// down in order.
    #[must_use]
    pub fn run(self, schedule: &Schedule, trace: &Trace) -> Outcome {
        match self {
            Self::Core => core_world::run(schedule, trace),
            Self::Turmoil => turmoil_world::run(schedule, trace),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
