//! The protocol of the watertight reverse tunnel as a state machine: no sockets, no clock, no
//! randomness, no async. Time comes in as a value ([`Instant`]), randomness as a seed, bytes as
//! [`bytes::Bytes`]; what goes out is asked for.

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod connection;
mod id;
mod ledger;
#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}
mod reconnect;
pub mod registry;
pub mod session;
mod time;
mod timers;
pub mod wire;

pub use connection::{ConnectionEnd, Violation};
pub use id::{ConnectionId, Role};
pub use ledger::{Cause, Ledger, Removed};
pub use reconnect::{MAX_RETRY_AFTER, Reconnect, ReconnectConfig};
pub use session::{Event, Limits, Session, SessionConfig, SessionEnd, Timing, Transmit};
pub use time::Instant;
pub use timers::Timer;
