//! Timings: how long each end hesitates before each step, so that the runs of a conversation show its
//! races.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::conversation::Side;

/// How long a step may take. A tunnel delays a reset for what came before it, but for a bounded time.
const LIMIT: Duration = Duration::from_secs(20);

/// While a failure is shrunk.
const SHORT_LIMIT: Duration = Duration::from_secs(6);

/// A hesitation that the remote of a connection on this machine does not take for a simultaneous
/// step.
const LONG: Duration = Duration::from_millis(3);

/// How the ends of one run hesitate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    kind: Kind,
    pub(crate) limit: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Both ends act at once.
    Eager,
    /// One end is behind the other one.
    Behind(Side),
    /// Each step has its own hesitation.
    Random(u64),
}

impl Timing {
    /// The timing of a run by its number: eager, either end behind, and from then on random ones.
    pub(crate) const fn of_run(number: u64) -> Self {
        let kind = match number {
            0 => Kind::Eager,
            1 => Kind::Behind(Side::Client),
            2 => Kind::Behind(Side::Target),
            number if number.is_multiple_of(4) => Kind::Eager,
            number => Kind::Random(number),
        };
        Self { kind, limit: LIMIT }
    }

    pub(crate) const fn shrinking(self) -> Self {
        Self { limit: SHORT_LIMIT, ..self }
    }

    pub(crate) fn delay(&self, side: Side, step: usize) -> Duration {
        match self.kind {
            Kind::Eager => Duration::ZERO,
            Kind::Behind(behind) if behind == side => LONG,
            Kind::Behind(_) => Duration::ZERO,
            Kind::Random(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, side, step).hash(&mut hasher);
                match hasher.finish() % 8 {
                    0 => LONG,
                    1 | 2 => Duration::from_millis(1),
                    _ => Duration::ZERO,
                }
            }
        }
    }
}
