//! Specimens of this world: software around or inside of a server or an agent that is broken as others
//! were. Each must be caught.

use super::deviation::Deviation;
use super::run_with;
use crate::{Outcome, Schedule, Trace, Violation, World};

/// Software with one thing wrong.
#[derive(Debug)]
pub struct Specimen {
    /// Its name.
    pub name: &'static str,
    /// The row of the collection that it comes from.
    pub row: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    deviation: Deviation,
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
    /// Runs a schedule on it.
    #[must_use]
    pub fn run(&self, schedule: &Schedule, trace: &Trace) -> Outcome {
        run_with(schedule, trace, self.deviation)
    }

    /// Runs generated schedules on it, from a seed on, until one shows a violation; at most `limit`.
    /// The same schedules show none on the product.
    #[must_use]
    pub fn hunt(&self, first: u64, limit: u64) -> Option<Catch> {
        (1..=limit).find_map(|schedules| {
            let seed = first.wrapping_add(schedules - 1);
            let schedule = Schedule::generate(seed, World::Turmoil);
            let violation = self.run(&schedule, &Trace::off()).violation?;
            Some(Catch { schedules, seed, violation })
        })
    }
}

/// All of them.
#[must_use]
pub fn all() -> &'static [Specimen] {
    &ALL
}

macro_rules! specimens {
    ($($row:literal $name:literal: $what:literal, $deviation:ident;)+) => {
        static ALL: [Specimen; [$($row),+].len()] = [
            $(Specimen { name: $name, row: $row, what: $what, deviation: Deviation::$deviation }),+
        ];
    };
}

specimens! {
    "W1" "accept_waits": "a handshake without a deadline inside the accept loop", AcceptWaits;
    "R14" "socket_stays": "the socket of a session that has ended is never closed", SocketStays;
    "F1" "login_waits": "a session that died silently is never done, and its client locked out",
        LoginWaits;
    "R20" "dial_goes_on": "a dial that is given up goes on, and nobody owns its stream", DialGoesOn;
    "R18" "task_stays": "a task for each stream is never ended", TaskStays;
    "K2" "dial_waits": "a dial without an answer is pending for ever", DialWaits;
    "C2" "eof_ends_both": "the first end of file ends both directions", EofEndsBoth;
    "T1" "half_closed_stays": "half-closed connections wait without a timer", HalfClosedStays;
    "C1" "silence_is_fine": "keepalive without a timeout", SilenceIsFine;
    "Y5" "strangers_panic": "what a peer says panics", StrangersPanic;
}
