//! Seeded bugs: tunnels that are broken as real ones were, each in one point. Each must be caught: a
//! simulation that catches nothing proves nothing.

mod core;
mod turmoil;

use crate::{Invariant, Outcome, Schedule, Trace, Violation, World};

/// A tunnel with one thing wrong.
#[derive(Debug)]
pub struct SeededBug {
    /// Its name on the command line.
    pub name: &'static str,
    /// The row of the collection of how tunnels broke that it comes from.
    pub row: &'static str,
    /// The bug, in a few words.
    pub what: &'static str,
    /// What that violates: nothing else counts as its being caught.
    pub expected: &'static [Invariant],
    /// Where it lives.
    pub world: World,
    play: fn(&Schedule, &Trace) -> Outcome,
}

/// What came of a hunt.
#[derive(Clone, Debug)]
pub enum Hunt {
    /// A schedule shows what is wrong.
    Caught(Catch),
    /// None does.
    Missed {
        /// Something else that one of them shows.
        instead: Option<Violation>,
    },
}

/// How a seeded bug was caught.
#[derive(Clone, Debug)]
pub struct Catch {
    /// How many schedules it took.
    pub schedules: u64,
    /// The seed of the last one.
    pub seed: u64,
    /// The violation that it showed.
    pub violation: Violation,
    /// The violation that the same schedule shows on the right tunnel. If there is one, the catch proves
    /// nothing.
    pub on_right: Option<Violation>,
}

impl SeededBug {
    /// Runs a schedule on it, as [`World::run`] does on the tunnel.
    #[must_use]
    pub fn run(&self, schedule: &Schedule, trace: &Trace) -> Outcome {
        (self.play)(schedule, trace)
    }

    /// Runs generated schedules on it, from a seed on, until one violates what is
    /// [expected](Self::expected); at most `limit`.
    #[must_use]
    pub fn hunt(&self, first: u64, limit: u64) -> Hunt {
        let mut instead = None;
        for schedules in 1..=limit {
            let seed = first.wrapping_add(schedules - 1);
            let schedule = Schedule::generate(seed, self.world);
            let Some(violation) = self.run(&schedule, &Trace::off()).violation else { continue };
            if self.expected.contains(&violation.invariant) {
                let on_right = self.world.run(&schedule, &Trace::off()).violation;
                return Hunt::Caught(Catch { schedules, seed, violation, on_right });
            }
            instead.get_or_insert(violation);
        }
        Hunt::Missed { instead }
    }
}

/// All of them, world by world, in the order of their rows.
pub fn all() -> impl Iterator<Item = &'static SeededBug> {
    core::ALL.iter().chain(&turmoil::ALL)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Shows the same violation in every schedule.
    const fn stuck(expected: &'static [Invariant]) -> SeededBug {
        let play = |_: &Schedule, _: &Trace| {
            let (invariant, what) = (Invariant::Progress, "it hangs".into());
            let violation = Violation { invariant, what, at: Duration::ZERO, steps: 0 };
            Outcome { violation: Some(violation), ..Outcome::default() }
        };
        SeededBug { name: "stuck", row: "T0", what: "it hangs", expected, world: World::Core, play }
    }

    #[test]
    fn what_is_expected_catches_and_the_right_tunnel_is_asked() {
        let seeded_bug = stuck(&[Invariant::BytesIntact, Invariant::Progress]);
        let Hunt::Caught(catch) = seeded_bug.hunt(5, 3) else { panic!("it is not caught") };
        assert_eq!((catch.schedules, catch.seed, catch.on_right), (1, 5, None));
        assert_eq!(catch.violation.invariant, Invariant::Progress);
    }

    #[test]
    fn what_is_not_expected_does_not_count() {
        let Hunt::Missed { instead } = stuck(&[Invariant::BytesIntact]).hunt(5, 3) else {
            panic!("it is caught by what has nothing to do with it");
        };
        assert_eq!(instead.map(|violation| violation.invariant), Some(Invariant::Progress));
        assert!(matches!(stuck(&[]).hunt(5, 0), Hunt::Missed { instead: None }));
    }
}
