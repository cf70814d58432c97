//! What simulations and fuzzers of this crate, and of programs around it, need of its inside. It may change
//! in any version.
//!
//! - [`SimulatedSocket`] makes any stream that is a [`KernelSocket`] count as a kernel's socket, below a
//!   session and in copies.
//! - [`Resolver`] looks names up as targets' names are, by means of the simulation's own.
//! - `unmasked` and `write_buffer` of [`ServerBuilder`](crate::ServerBuilder) and
//!   [`AgentBuilder`](crate::AgentBuilder) take the dice out of WebSockets, and fill them with few bytes.
//! - [`Server::kept`](crate::Server::kept) and [`Agent::kept`](crate::Agent::kept) tell what tables hold
//!   that no ledger counts.

pub use crate::copy::{KernelSocket, SimulatedSocket};
pub use crate::kernel::TcpState;
pub use crate::policy::{Lookup, Resolver};
pub use crate::session::Kept;
