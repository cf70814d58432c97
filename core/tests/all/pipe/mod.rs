//! Two sessions joined by an ordered pipe without loss, two applications that do anything at any
//! moment, and what must hold all the same.

#![allow(clippy::cast_possible_truncation, reason = "bytes of a pattern")]

mod app;
mod commands;
mod invariants;
mod operation;
mod settle;
mod setup;
mod world;

pub(crate) use operation::{Operation, SIDES, operations};
pub(crate) use setup::{Setup, setups};
pub(crate) use world::World;

/// Runs a schedule and lets it come to rest; panics where something does not hold. The world is
/// returned for those who want to know what happened.
pub(crate) fn run(setup: &Setup, operations: &[Operation]) -> World {
    let mut world = World::new(setup);
    for operation in operations {
        world.perform(*operation);
        world.check();
    }
    world.settle(setup.finale);
    world
}
