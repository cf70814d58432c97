//! The invariants of the fuzz targets, for input that strategies draw: weighted, so that it reaches deep in a
//! second. More cases than in a plain `cargo test`: set `PROPTEST_CASES`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic, too")]

mod damaged;
mod framing;
mod message;
mod registry;
mod session_hostile;
