//! The program as its users run it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic, too")]

mod failing;
mod files;
mod interrupted;
mod pages;
mod program;
mod shards;
