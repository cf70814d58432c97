//! Latency of small requests beside a connection that transfers at full, fixed or no rate.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::bulk::Transfer;
use super::{Bench, Direction, Measured, Metric, Neighbour, Trouble, requests};
use crate::service::{POUR, ask};

const LENGTH: usize = 64;

/// A held reader takes this much.
const HELD_BYTES_PER_SECOND: u64 = (1 << 30) / 5;

/// In portions, so many times a second.
const PORTIONS_PER_SECOND: u64 = 200;

pub(super) async fn run(bench: Bench<'_>, neighbour: Neighbour) -> Result<Measured, Trouble> {
    match neighbour {
        Neighbour::Full => beside_full(bench).await,
        Neighbour::Held => tokio::select! {
            failed = held(bench) => failed,
            measured = requests::run(bench, LENGTH, 1) => measured,
        },
        Neighbour::Stopped => {
            let _unread = ask(bench.route.at, POUR).await?;
            // Until all buffers of the route are full.
            sleep(bench.warm_up()).await;
            requests::run(bench, LENGTH, 1).await
        }
    }
}

async fn beside_full(bench: Bench<'_>) -> Result<Measured, Trouble> {
    let transfer = Transfer::start(bench, Direction::Down, 1);
    let bulk = async {
        sleep(bench.warm_up()).await;
        transfer.measure().await
    };
    let (mut requests, bulk) = tokio::try_join!(requests::run(bench, LENGTH, 1), bulk)?;
    requests.extend(bulk.into_iter().filter(|(metric, _)| *metric == Metric::Rate));
    Ok(requests)
}

/// Reads at its pace until it is dropped.
async fn held(bench: Bench<'_>) -> Result<Measured, Trouble> {
    let mut socket = ask(bench.route.at, POUR).await?;
    let portion = usize::try_from(HELD_BYTES_PER_SECOND / PORTIONS_PER_SECOND)?;
    let mut portion = vec![0; portion];
    let mut pace = interval(Duration::from_secs(1) / PORTIONS_PER_SECOND as u32);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        pace.tick().await;
        socket.read_exact(&mut portion).await?;
    }
}
