//! Peers that announce anything, in any order: routes and sessions are those of a naive model at any time,
//! and when everybody is gone, nothing is left.

mod compare;
mod model;
mod op;
mod targets;
mod world;

use arbitrary::Unstructured;
use watertight_core::registry::RegistryLimits;

use crate::heap;
use world::World;

pub use op::{DIALECTS, KINDS, Kind, Name, Op, Speaks};

/// So little that it is met.
pub const LIMITS: RegistryLimits =
    RegistryLimits { agents: 3, peers: 2, routes_per_peer: 3, routes: 5, key: 8 };

/// Keys with a meaning on the wire, and invalid ones.
pub const NAMES: [&str; 10] = ["a", "b", "c", "a/b", "a::b", "a:", "%2F", "", "a long one", "é"];

/// The history of the bytes.
fn history(input: &[u8]) -> Vec<Op> {
    let mut input = Unstructured::new(input);
    let mut ops = Vec::new();
    while !input.is_empty() {
        ops.extend(input.arbitrary::<Op>());
    }
    ops
}

/// Takes a history from the bytes and lets it happen.
pub fn run(input: &[u8]) {
    check(|| history(input));
}

/// The history of the bytes.
#[must_use]
pub fn explain(input: &[u8]) -> String {
    format!("{:?}", history(input))
}

/// Lets a history happen, from its making to its end.
///
/// # Panics
/// Something does not hold, or bytes of heap are left.
pub fn check(history: impl FnOnce() -> Vec<Op>) {
    assert_eq!(heap::kept(|| play(history())), 0, "bytes of heap are left");
}

/// Lets a history happen, compares the registry with the model after each of its steps, and lets everybody
/// leave in the end.
///
/// # Panics
/// They differ, or something is left.
fn play(ops: Vec<Op>) {
    let mut world = World::default();
    for op in ops {
        world.apply(op);
        world.compare();
    }
    world.end();
}
