//! The program as its users have it: `watertight server` and `watertight agent` as processes of
//! their own, with real services and clients around them.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod clogged;
mod http;
mod ledger;
mod process;
mod program;
mod rest;
mod target;
mod tls;
mod tunnel;
mod watertight;
mod witness;

pub(crate) use clogged::Clogged;
pub(crate) use http::{Answer, exchange, get};
pub(crate) use ledger::Ledger;
pub(crate) use process::{Finished, Process};
pub(crate) use program::{found, quiet_command, run};
pub(crate) use rest::Rest;
pub(crate) use target::{Target, pattern};
pub(crate) use tls::Authority;
pub(crate) use tunnel::{KEY, LAB_TOKEN, TOKEN, Tunnel, TunnelBuilder, write_private};
pub(crate) use watertight::{Ended, Watertight};
pub(crate) use witness::Witness;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take that has no deadline of its own. It only has to end a test that
/// hangs, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is checked again.
const GLANCE: Duration = Duration::from_millis(20);

/// Fails the test if `future` takes longer than `limit`.
#[track_caller]
pub(crate) fn within<F: Future>(
    limit: Duration,
    what: &str,
    future: F,
) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(limit, future).await;
        done.unwrap_or_else(|_| panic!("{what}: not within {limit:?}, at {caller}"))
    }
}

/// The same for what has no deadline of its own.
#[track_caller]
pub(crate) fn in_time<F: Future>(what: &str, future: F) -> impl Future<Output = F::Output> {
    within(PATIENCE, what, future)
}

/// Repeats `probe` until it gives a value. Fails the test with its last error if it
/// has given none within `limit`.
pub(crate) async fn eventually<T>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let until = Instant::now() + limit;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(reason) => {
                assert!(Instant::now() < until, "{what}: not within {limit:?}: {reason}")
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
}
