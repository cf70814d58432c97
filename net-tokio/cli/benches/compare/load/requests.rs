//! Latency and rate of requests, one in flight on each connection.

use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Bench, Measured, Metric, Trouble};
use crate::service::{ask_echo, exchange};

/// Tenths of microseconds, to three digits.
type Times = Histogram<u64>;

const PER_SECOND: f64 = 1e7;

pub(super) async fn run(
    bench: Bench<'_>,
    length: usize,
    connections: usize,
) -> Result<Measured, Trouble> {
    let from = Instant::now() + bench.warm_up();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(requests(bench.route.at, length, from, from + bench.window));
    }
    let mut times = Times::new(3)?;
    while let Some(of_one) = tasks.join_next().await {
        times.add(of_one??)?;
    }
    measured(&times, bench.window)
}

fn measured(times: &Times, window: Duration) -> Result<Measured, Trouble> {
    if times.is_empty() {
        return Err(Trouble::Stuck);
    }
    let at = |quantile| times.value_at_quantile(quantile) as f64 / (PER_SECOND / 1e6);
    Ok(vec![
        (Metric::PerSecond, times.len() as f64 / window.as_secs_f64()),
        (Metric::P50, at(0.5)),
        (Metric::P99, at(0.99)),
        (Metric::P999, at(0.999)),
    ])
}

/// Exchanges messages one by one until `to`; keeps the times of exchanges that began after `from`.
async fn requests(
    route: SocketAddr,
    length: usize,
    from: Instant,
    to: Instant,
) -> crate::Result<Times> {
    let mut times = Times::new(3)?;
    let mut socket = ask_echo(route, length).await?;
    let mut message = vec![1; length];
    loop {
        let started = Instant::now();
        if started >= to {
            return Ok(times);
        }
        exchange(&mut socket, &mut message).await?;
        if started >= from {
            let tenths = started.elapsed().as_secs_f64() * PER_SECOND;
            times.record(tenths.round() as u64)?;
        }
    }
}
