//! Attackers as small programs against the built program: each tries one kind of attack in many
//! forms, and reaches nothing, learns nothing and disturbs nobody.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic here fails the test")]

mod addresses;
mod buffered;
mod canary;
mod flood;
mod message;
mod middle;
#[path = "../processes/mod.rs"]
mod processes;
mod rebinding;
mod session;
mod silence;
mod smuggling;
