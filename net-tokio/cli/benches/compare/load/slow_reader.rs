//! Memory growth of both ends while a reader takes less than its target sends.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, interval};

use super::{Bench, Measured, Metric, Trouble};
use crate::service::{POUR, ask};

/// Read 100 times a second.
const PORTION: usize = 64 << 10;

pub(super) async fn run(bench: Bench<'_>) -> Result<Measured, Trouble> {
    let resident = || bench.route.resident().map(|[near, far]| near + far);
    let before = resident()?;
    let mut most = before;
    let mut socket = ask(bench.route.at, POUR).await?;
    let mut portion = vec![0; PORTION];
    let mut pace = interval(Duration::from_millis(10));
    let until = Instant::now() + 2 * bench.window;
    while Instant::now() < until {
        pace.tick().await;
        socket.read_exact(&mut portion).await?;
        most = most.max(resident()?);
    }
    Ok(vec![(Metric::Growth, (most - before) / 1024.0)])
}
