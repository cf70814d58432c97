//! Fingerprints of 64 bits: that two of ten million states have the same one happens once in three
//! hundred thousand runs.

use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) type Print = u64;

/// The same in every run.
pub(super) fn print(value: &impl Hash) -> Print {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
