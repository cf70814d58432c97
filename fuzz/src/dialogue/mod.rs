//! Two ends, a link between them and everything that the simulation's core world knows, played by the fuzzer:
//! the bytes are the random numbers of the simulation's own generator, so each input is a legal schedule, and
//! a little change of the bytes is a little change of the schedule.

mod tape;

use watertight_sim::{Case, Schedule, Trace, Violation, World};

/// Takes a schedule from the bytes and runs it in the core world.
pub fn run(input: &[u8]) {
    check(&schedule(input));
}

/// The schedule of the bytes, as `watertight-sim replay` reads it.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    file(schedule(input), None)
}

/// Runs a schedule in the core world.
///
/// # Panics
/// It shows what must not happen. The schedule is printed as the simulation's programs read it.
pub fn check(schedule: &Schedule) {
    let outcome = World::Core.run(schedule, &Trace::off());
    let Some(violation) = outcome.violation else { return };
    let file = file(schedule.clone(), Some(violation.clone()));
    panic!("{violation}; to be replayed and shrunk with watertight-sim:\n{file}");
}

/// A file of the simulation.
fn file(schedule: Schedule, found: Option<Violation>) -> String {
    let (about, world, seeded_bug) = (String::new(), World::Core, None);
    let case = Case { about, world, seeded_bug, found, schedule };
    serde_json::to_string(&case).unwrap_or_else(|error| format!("no file: {error}"))
}

/// The schedule whose random numbers these bytes are. Where they end, every number is the least: nothing more
/// happens.
#[must_use]
pub fn schedule(input: &[u8]) -> Schedule {
    let (seed, mut tape) = tape::Reader::new(input);
    Schedule::in_hand(seed, World::Core, |range, _| tape.next(range))
}

/// The bytes that make the schedule of a seed.
#[must_use]
pub fn bytes_of_seed(seed: u16) -> Vec<u8> {
    let seed = u64::from(seed);
    let mut tape = tape::Writer::new(seed);
    let _ = Schedule::in_hand(seed, World::Core, |range, shown| {
        tape.push(&range, shown);
        shown
    });
    tape.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_seed_are_its_schedule() {
        for seed in (0..500).chain([u16::MAX]) {
            let generated = Schedule::generate(seed.into(), World::Core);
            assert_eq!(schedule(&bytes_of_seed(seed)), generated, "seed {seed}");
        }
    }
}
