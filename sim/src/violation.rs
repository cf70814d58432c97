//! A violated invariant, with the observation that shows it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::invariant::Invariant;

/// Something that must never happen, and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    /// Which invariant does not hold.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
    /// Virtual time.
    pub at: Duration,
    /// How many steps of the schedule had been performed.
    pub steps: usize,
}

impl Violation {
    /// Whether another violation is the same one, in another schedule: what a smaller schedule must
    /// show to be accepted in place of a larger one.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.invariant == other.invariant && self.words() == other.words()
    }

    /// What was seen, without its numbers.
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
