//! A session on a running transport: its driver, what the driver shares with the handles to the
//! session's connections, and the books of sessions that have ended.

mod books;
mod buffers;
mod clock;
mod coalesce;
mod driver;
#[cfg(all(test, shuttle))]
pub(crate) mod interleavings;
#[cfg(feature = "simulation")]
mod kept;
mod run;
mod shared;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod turn;

pub(crate) use books::Books;
pub use buffers::Buffers;
pub(crate) use buffers::InHand;
pub(crate) use clock::Clock;
pub(crate) use driver::Owner;
#[cfg(feature = "simulation")]
pub use kept::Kept;
pub(crate) use run::{RunOptions, prepare};
pub(crate) use shared::{Locked, Shared};
pub(crate) use state::State;
