//! The core's tests from outside, in one program: each program of its own would be compiled and
//! linked by itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic, too")]

mod pipe;
mod registry;
mod session_deadlines;
mod session_ending;
mod session_flow_control;
mod session_hostile;
mod session_lifecycle;
mod session_memory;
mod session_pipe;
mod session_reconcile;
mod session_remotedialer;
mod support;
mod wire_framing;
mod wire_preface;
mod wire_vectors;
