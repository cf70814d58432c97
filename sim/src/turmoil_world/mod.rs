//! The world of real servers and agents on turmoil's simulated hosts.

mod agent_host;
mod application;
mod books;
mod broken_socket;
mod command;
mod connect;
mod death;
mod deviation;
mod door;
mod farewell;
mod finale;
mod greeting;
mod hostile;
mod kernel;
pub(crate) mod line;
mod liveness;
pub(crate) mod log;
mod names;
mod network;
mod observe;
mod plan;
mod play;
mod quiet;
mod roll;
mod runner;
mod seat;
mod server_desk;
mod server_host;
pub(crate) mod simulation;
pub(crate) mod socket;
mod stage;
mod standing;
mod steps;
mod strangers;
mod stream;
mod target;
mod target_io;
pub(crate) mod tell;
mod ticket;

use crate::invariant::Invariant;
use crate::{Outcome, Schedule, Trace};

pub(crate) use deviation::Deviation;
use tell::play;

/// Runs a schedule on turmoil's hosts.
pub(crate) fn run(schedule: &Schedule, trace: &Trace) -> Outcome {
    run_with(schedule, trace, Deviation::None)
}

/// Runs a schedule on software that differs from the product.
pub(crate) fn run_with(schedule: &Schedule, trace: &Trace, deviation: Deviation) -> Outcome {
    let outcome = play(schedule, trace, deviation);
    let leaked = outcome
        .violation
        .as_ref()
        .is_some_and(|violation| violation.invariant == Invariant::HeapReturns);
    if !leaked {
        return outcome;
    }
    // What is made once for a thread and kept looks like a leak the first time.
    drop(trace.take());
    play(schedule, trace, deviation)
}
