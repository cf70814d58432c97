//! The program as operators see it: its own processes, their output, their exit codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may panic, too")]

mod admin;
mod configuration;
mod demo;
mod environment;
mod headers;
mod help;
mod http;
mod lifecycle;
mod log;
mod peers;
mod process;
mod proxy;
mod proxy_gone;
mod proxy_http;
mod refusals;
mod reverse;
mod target;
mod tls;
mod tunnel;
