//! Two sessions joined by an ordered pipe without loss, two applications that do anything at any
//! moment, and what must hold all the same.

mod operation;
mod settle;
mod setup;
mod world;

pub(crate) use operation::{Operation, operations};
pub(crate) use setup::{Setup, setups};
pub(crate) use world::World;

/// Runs a schedule until nothing is left to do; panics where something does not hold. Returns the
/// world, which shows what happened.
pub(crate) fn run(setup: &Setup, operations: &[Operation]) -> World {
    let mut world = World::new(setup);
    for operation in operations {
        world.perform(*operation);
        world.check();
    }
    world.settle(setup.last);
    world
}
