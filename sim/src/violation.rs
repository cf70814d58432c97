//! The outcome of a run, and the violation of an invariant with the observation that shows it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::invariant::Invariant;
use crate::situation::Situations;

/// Something that must never happen, and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// Which invariant does not hold.
    pub invariant: Invariant,
    /// The observation.
    pub what: String,
    /// Virtual time.
    pub at: Duration,
    /// How many steps of the schedule had been performed.
    pub steps: usize,
}

/// The outcome of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The violation of an invariant, if there was one.
    pub violation: Option<Violation>,
    /// The situations that the run reached.
    pub seen: Situations,
    /// The virtual time that has passed.
    pub virtual_time: Duration,
}

impl Violation {
    /// Whether another violation is the same one, in another schedule: a smaller schedule must show it to
    /// replace a larger one.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.invariant == other.invariant && self.words() == other.words()
    }

    /// The observation, without its numbers.
    fn words(&self) -> Vec<&str> {
        let numbers = |part: char| !part.is_alphabetic();
        self.what.split(numbers).filter(|word| !word.is_empty()).collect()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, what, at, steps } = self;
        write!(f, "{invariant}: {what} (after {steps} steps, at {at:?})")
    }
}
