//! Rate of connections that open, carry a byte and close.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Bench, Measured, Metric, Trouble};
use crate::service::{ONE, ask};

const AT_A_TIME: usize = 64;

pub(super) async fn run(bench: Bench<'_>) -> Result<Measured, Trouble> {
    let from = Instant::now() + bench.warm_up();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_A_TIME {
        tasks.spawn(opens(bench.route.at, from, from + bench.window));
    }
    let mut opened = 0;
    while let Some(of_one) = tasks.join_next().await {
        opened += of_one??;
    }
    Ok(vec![(Metric::PerSecond, f64::from(opened) / bench.window.as_secs_f64())])
}

/// Opens one connection after another until `to`; counts those after `from`.
async fn opens(route: SocketAddr, from: Instant, to: Instant) -> std::io::Result<u32> {
    let mut opened = 0;
    loop {
        let started = Instant::now();
        if started >= to {
            return Ok(opened);
        }
        ask(route, ONE).await?.read_u8().await?;
        opened += u32::from(started >= from);
    }
}
