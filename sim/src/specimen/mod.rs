//! Small tunnels that are broken on purpose, each in one way in which a real one was: every one of
//! them must be caught.

use crate::{Outcome, Schedule, Trace, World};

/// A tunnel with one bug.
#[derive(Debug)]
pub struct Specimen {
    /// Its name on the command line.
    pub name: &'static str,
    /// Which known bug it has, by the number of its row in the list of how tunnels broke.
    pub row: &'static str,
    /// What is broken.
    pub what: &'static str,
    /// Where it lives.
    pub world: World,
    pub(crate) run: fn(&Schedule, &Trace) -> Outcome,
}

impl Specimen {
    /// Runs a schedule on it, as [`World::run`] does on the tunnel.
    #[must_use]
    pub fn run(&self, schedule: &Schedule, trace: &Trace) -> Outcome {
        (self.run)(schedule, trace)
    }
}

/// All of them.
#[must_use]
pub const fn all() -> &'static [Specimen] {
    &[]
}
