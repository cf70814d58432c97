//! Randomized schedules that break a watertight tunnel, and the proof that nothing of it leaks.
//!
//! A [`Schedule`] is data: the hosts, their conditions, their actions and their faults, in order. It is
//! generated [from a seed](Schedule::generate), can be written to a file, read, replayed and
//! [shrunk](shrink). Two [worlds](World) run the same schedules:
//!
//! - the **core world**: sessions of `watertight-core` joined by virtual pipes, without a runtime; time
//!   jumps exactly to the next deadline, and bytes arrive in any portions;
//! - the **turmoil world**: the real server and the real agents of `watertight` with their WebSockets
//!   and byte streams, on the simulated hosts of turmoil.
//!
//! Each run ends quiet: traffic stops, faults heal, handles are dropped. [Invariants](invariant) are checked
//! while it runs, when it is quiet, and when everything has ended. [Situations](Situation) are counted, so
//! that a run that never got into the interesting ones fails, too.

#[cfg(not(tokio_unstable))]
compile_error!(
    "watertight-sim needs RUSTFLAGS=\"--cfg tokio_unstable\": only with it tokio lets the simulation seed \
     its random numbers, and without a seed no schedule can be replayed. The workspace's \
     .cargo/config.toml sets it; RUSTFLAGS in the environment replaces that setting"
);

pub mod campaign;
mod case;
pub mod core_world;
pub mod embed;
mod heap;
pub mod invariant;
mod observed;
mod panics;
mod pattern;
mod phases;
mod player;
mod run;
pub mod schedule;
pub mod seeded_bug;
pub mod shrink;
mod situation;
mod trace;
pub mod turmoil_world;
mod violation;
mod world;

pub use case::{Case, CaseError};
pub use heap::Heap;
pub use invariant::Invariant;
pub use observed::{Bounds, Counts, DialOutcome, HostLedger, Observed, StreamEnd, StreamRecord};
pub use player::{Desire, Player};
pub use schedule::Schedule;
pub use situation::{Situation, Situations};
pub use trace::{Moment, Trace};
pub use violation::{Outcome, Violation};
pub use world::World;
