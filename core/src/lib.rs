//! The protocol of the watertight reverse tunnel as a state machine: no sockets, no clock, no
//! randomness, no async. Time comes in as a value ([`Instant`]), randomness as a seed, bytes as
//! [`bytes::Bytes`]; output is polled for.
//!
//! [`Session`] is one end of one tunnel, [`registry`] the table of a server's sessions, [`wire`] the
//! codec, [`protocol`] the protocol's document. `ARCHITECTURE.md` of the repository walks through all
//! of it.
//!
//! # Glossary
//!
//! The same terms stand in code, documentation, logs, metrics and options.
//!
//! | term | means |
//! | --- | --- |
//! | agent, server | an *agent* keeps a session open to a *server* |
//! | client, client key | an agent as its server sees it, and the name of it |
//! | peer | a server that another server has a session with, and nothing else |
//! | remote | the opposite end of a session |
//! | connector, acceptor | the end of a session that made the transport, and the one that answered |
//! | opener | the end that dialled a connection |
//! | transport | what carries the messages of a session: a WebSocket or a byte stream |
//! | session | one end of a tunnel on one transport |
//! | connection | one dialled stream in a session; a *row* of its table |
//! | stream | the application's handle to a connection |
//! | dial, target | a request for a connection, and what the remote is to connect it to |
//! | pending dial, outbound and inbound | a dial without its answer, of this end and of the remote |
//! | finish, reset, release | the end of one direction; of both, now; the application gives its handle back |
//! | half-closed, lingering | finished in one direction; finished and released, not yet ended |
//! | retired | removed from the table, for a [`Cause`] |
//! | close reason | why a connection ended: a code and a text |
//! | ledger | the counts of what is held and was released |
//! | balanced, settled | added = removed + live; nothing is held |
//! | credit, window | bytes that the remote may still send; how many of them are granted at a time |
//! | window probe | one byte that asks a stopped remote whether it has space (as TCP's zero-window probe) |
//! | readable(n), writable(n) | bytes that a call would give or take now |
//! | new and old flows, deficit, quantum | terms of deficit round robin with a list of new flows (RFC 8290) |
//! | sliding window of ids | used ids, of the newest (RFC 6479) |
//! | coalescing | small messages joined into one system call |
//! | backoff | the pause before another attempt |
//! | timeout, deadline | a `Duration`; an `Instant` |
//! | superseded session | a session that a newer one of the same client replaced |
//! | drain | no new connections; the open ones run to their end |
//! | permit | the right to one session, released on drop |
//! | route | a client that is reachable through a peer |
//! | extended dialect, base dialect | the protocol between two watertight ends; that of remotedialer |
//! | seeded bug | a bug that is put in on purpose, which the proof must find |

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
#[cfg(feature = "testkit")]
pub mod testkit;
mod time;
pub mod wire;

pub use connection::{ConnectionEnd, LifecycleViolation};
pub use id::{ConnectionId, Role};
pub use ledger::{Cause, Ledger, Removed};
pub use reconnect::{MAX_RETRY_AFTER, Reconnect, ReconnectConfig};
pub use session::{Event, Limits, ReadEnd, Session, SessionConfig, SessionEnd, Timing, Transmit};
pub use time::{Instant, Timer};
