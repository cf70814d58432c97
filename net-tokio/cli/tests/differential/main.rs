//! The differential suite: a connection through the tunnel is indistinguishable from a direct one.
//!
//! A *conversation* is a script for each end of a connection: send, read, half-close, close with or
//! without unread bytes, reset, wait. It is played directly on the kernel's sockets, with hesitations
//! that show its races, and through each route: WebSocket, byte stream, TLS, a peer server, Unix
//! sockets, the base dialect and remotedialer's program. What both ends see through a route must be an
//! outcome that the direct connection shows, or a deviation by design (`deviation.rs`), or it is a
//! difference, which is shrunk and printed.
//!
//! - `cargo test -p watertight-cli --test differential` plays the fixed conversations and a few seconds of
//!   generated ones.
//! - `-- --ignored` adds remotedialer's program, for which it needs Go, and plays generated ones for
//!   `DIFFERENTIAL_TIME` seconds (60 unless set), from `DIFFERENTIAL_SEED` (a text).
//! - `replay -- --ignored --nocapture` plays `DIFFERENTIAL_CONVERSATION` on `DIFFERENTIAL_WAYS` (names
//!   with commas between them, all unless set), `DIFFERENTIAL_RUNS` times (60).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod conversation;
mod deviation;
mod end;
mod examine;
mod fixed;
mod generate;
mod generated;
#[path = "../interop/go.rs"]
#[allow(dead_code, reason = "the interop tests use all of it")]
mod go;
mod outcome;
mod play;
#[path = "../processes/mod.rs"]
mod processes;
mod replay;
mod report;
mod route;
mod socket;
mod sound;
mod timing;
mod world;

use std::io::Write;

use tokio::runtime::{Builder, Runtime};

/// The runtime of a test: of tunnels and ends both.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Prints past what the test harness keeps to itself when a test passes.
fn print(text: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// A setting of the environment.
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
