//! Internals for simulations and fuzzers of this crate, and of programs around it. It may change in
//! any version.
//!
//! - [`SimulatedSocket`] makes any stream that is a [`KernelSocket`] count as a kernel's socket,
//!   below a session and in splices.
//! - [`Resolver`] resolves names as those of targets are, with the simulation's own look-ups.
//! - `unmasked` and `write_buffer` of [`ServerBuilder`](crate::ServerBuilder) and
//!   [`AgentBuilder`](crate::AgentBuilder) make WebSockets deterministic, and fill their buffers
//!   with few bytes.
//! - [`Server::kept`](crate::Server::kept) and [`Agent::kept`](crate::Agent::kept) count the
//!   entries of tables that no ledger counts.

pub use crate::io::{KernelSocket, SimulatedSocket};
pub use crate::kernel::TcpState;
pub use crate::policy::{Lookup, Resolver};
pub use crate::session::Kept;
