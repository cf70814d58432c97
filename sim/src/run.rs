//! Runs a schedule in either world.

use crate::{Outcome, Schedule, Trace, World, core_world, turmoil_world};

impl World {
    /// Runs a schedule, checks every invariant in each phase, and records the run in `trace`.
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
