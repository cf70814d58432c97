//! Interoperability on the wire: remotedialer's own server and client against our agent
//! and server, and our two ends in the base dialect. `cargo test -p watertight-cli --test interop --
//! --ignored` runs what needs Go.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod close;
mod end;
mod frames;
mod go;
mod matrix;
mod pair;
#[path = "../processes/mod.rs"]
mod processes;
mod relay;
mod rest;
mod scenarios;
mod services;
