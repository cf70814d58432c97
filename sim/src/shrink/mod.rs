//! Makes a failing schedule as small as possible while it fails alike.
//!
//! Delta debugging over the steps first, in halves, quarters, down to single ones; then every number
//! and every choice is tried at its simplest. Each change is kept if the schedule still shows
//! [the same violation](Violation::is_like).

mod edit;

use crate::schedule::Schedule;
use crate::violation::Violation;
use edit::{Edit, edits};

/// A schedule made smaller.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The schedule.
    pub schedule: Schedule,
    /// The violation that it shows.
    pub violation: Violation,
    /// How many schedules were run for it.
    pub runs: usize,
}

/// Makes `schedule`, which shows `violation`, smaller. `run` plays a schedule, at most `max_runs` times; the
/// result is marked as unfinished if that was not enough.
pub fn shrink(
    schedule: &Schedule,
    violation: &Violation,
    max_runs: usize,
    run: impl FnMut(&Schedule) -> Option<Violation>,
) -> Shrunk {
    let best = Shrunk { schedule: schedule.clone(), violation: violation.clone(), runs: 0 };
    let mut search = Search { best, max_runs, run };
    loop {
        let before = search.best.schedule.clone();
        search.remove_steps();
        search.simplify();
        if search.best.schedule == before || search.is_spent() {
            return search.best;
        }
    }
}

struct Search<R> {
    best: Shrunk,
    max_runs: usize,
    run: R,
}

impl<R: FnMut(&Schedule) -> Option<Violation>> Search<R> {
    const fn is_spent(&self) -> bool {
        self.best.runs >= self.max_runs
    }

    /// Delta debugging: removes ranges of steps, each half as long as those before.
    fn remove_steps(&mut self) {
        let mut length = self.best.schedule.steps.len();
        while length > 0 {
            let mut from = 0;
            while from < self.best.schedule.steps.len() {
                let to = (from + length).min(self.best.schedule.steps.len());
                if !self.try_edit(&Edit::Remove(from..to)) {
                    from = to;
                }
            }
            length /= 2;
        }
    }

    /// Tries every simpler value once. Indices move when an earlier step is removed, so edits are made anew
    /// for the rest.
    fn simplify(&mut self) {
        for edit in edits(&self.best.schedule) {
            while self.try_edit(&edit) && edit.may_help_again() {}
        }
    }

    /// Whether the edit changes the schedule and it still fails alike; then it is kept.
    fn try_edit(&mut self, edit: &Edit) -> bool {
        if self.is_spent() {
            return false;
        }
        let mut schedule = self.best.schedule.clone();
        edit.apply(&mut schedule);
        if schedule == self.best.schedule {
            return false;
        }
        self.best.runs += 1;
        let violation = (self.run)(&schedule).filter(|found| found.is_like(&self.best.violation));
        let Some(violation) = violation else { return false };
        (self.best.schedule, self.best.violation) = (schedule, violation);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::World;
    use crate::invariant::Invariant;
    use crate::schedule::Action;

    fn violation(invariant: Invariant) -> Violation {
        Violation { invariant, what: "3 bytes".into(), at: Duration::ZERO, steps: 0 }
    }

    /// "Fails" if a stream is dialled, written to and reset, in this order.
    fn fails(schedule: &Schedule) -> Option<Violation> {
        let streams = schedule.steps.iter().filter_map(|step| match step.action {
            Action::Dial { stream, .. } => Some(stream),
            _ => None,
        });
        let names = |stream| {
            let of = schedule.steps.iter().filter(move |step| step.action.stream() == Some(stream));
            of.map(|step| step.action.name()).collect::<Vec<_>>()
        };
        let fails = streams.map(names).any(|names| {
            let mut rest = names.iter();
            ["dial", "write", "reset"].iter().all(|name| rest.any(|other| other == name))
        });
        fails.then(|| violation(Invariant::Progress))
    }

    fn failing() -> impl Iterator<Item = (Schedule, Violation)> {
        let schedules = (0..2000).map(|seed| Schedule::generate(seed, World::Core));
        schedules.filter_map(|schedule| fails(&schedule).map(|found| (schedule, found)))
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let mut seen = 0;
        for (schedule, found) in failing() {
            let shrunk = shrink(&schedule, &found, 10_000, fails);
            let names: Vec<_> =
                shrunk.schedule.steps.iter().map(|step| step.action.name()).collect();
            assert_eq!(names, ["dial", "write", "reset"], "seed {}", schedule.seed);
            assert!(shrunk.schedule.steps.iter().all(|step| step.after == 0));
            assert_eq!(shrunk.schedule.cast.agents.len(), 1);
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn another_violation_is_not_taken_for_it() {
        for (schedule, found) in failing().take(20) {
            let steps = schedule.steps.len();
            // With a step less, something else is wrong.
            let run = |smaller: &Schedule| {
                let same = smaller.steps.len() == steps;
                Some(violation(if same { Invariant::Progress } else { Invariant::NoPanic }))
            };
            let shrunk = shrink(&schedule, &found, 10_000, run);
            assert_eq!(shrunk.schedule.steps.len(), steps);
            assert_eq!(shrunk.violation.invariant, Invariant::Progress);
        }
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        let (schedule, found) = failing().next().unwrap();
        let mut runs = 0;
        let shrunk = shrink(&schedule, &found, 7, |smaller| {
            runs += 1;
            fails(smaller)
        });
        assert_eq!((runs, shrunk.runs), (7, 7));
    }
}
