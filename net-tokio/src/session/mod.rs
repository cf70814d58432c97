//! A session on a running transport: its driver, and how connections are opened and answered.

mod books;
mod clock;
mod driver;
mod incoming;
mod log_limit;
mod open;
mod run;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use books::Books;
pub(crate) use clock::Clock;
pub(crate) use driver::Owner;
pub use incoming::Incoming;
pub use open::DialError;
pub(crate) use open::dial;
pub(crate) use run::{RunOptions, prepare};
pub(crate) use state::{Notice, Shared, State};
