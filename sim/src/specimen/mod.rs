//! Specimens: tunnels that are broken as others were, each in one way. Each must be caught: a
//! simulation that catches nothing proves nothing.

mod core;
mod turmoil;

use crate::{Outcome, Schedule, Trace, Violation, World};

/// A tunnel with one thing wrong.
#[derive(Debug)]
pub struct Specimen {
    /// Its name on the command line.
    pub name: &'static str,
    /// The row of the collection of how tunnels broke that it comes from.
    pub row: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    /// Where it lives.
    pub world: World,
    play: fn(&Schedule, &Trace) -> Outcome,
}

/// How a specimen was caught.
#[derive(Clone, Debug)]
pub struct Catch {
    /// How many schedules it took.
    pub schedules: u64,
    /// The seed of the last one.
    pub seed: u64,
    /// What it showed.
    pub violation: Violation,
}

impl Specimen {
    /// Runs a schedule on it, as [`World::run`] does on the tunnel.
    #[must_use]
    pub fn run(&self, schedule: &Schedule, trace: &Trace) -> Outcome {
        (self.play)(schedule, trace)
    }

    /// Runs generated schedules on it, from a seed on, until one shows a violation; at most `limit`.
    /// The same schedules show none on the right tunnel.
    #[must_use]
    pub fn hunt(&self, first: u64, limit: u64) -> Option<Catch> {
        (1..=limit).find_map(|schedules| {
            let seed = first.wrapping_add(schedules - 1);
            let schedule = Schedule::generate(seed, self.world);
            let violation = self.run(&schedule, &Trace::off()).violation?;
            Some(Catch { schedules, seed, violation })
        })
    }
}

/// All of them, world by world, in the order of their rows.
pub fn all() -> impl Iterator<Item = &'static Specimen> {
    core::ALL.iter().chain(&turmoil::ALL)
}
