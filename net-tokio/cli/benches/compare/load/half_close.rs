//! Half-close: whether an answer arrives after the client's end of file.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Bench, Measured, Metric, Trouble};
use crate::service::{AFTER_END, ask};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(bench: Bench<'_>) -> Result<Measured, Trouble> {
    let mut socket = ask(bench.route.at, AFTER_END).await?;
    socket.shutdown().await?;
    let answer = timeout(PATIENCE, socket.read_u8()).await;
    let works = matches!(answer, Ok(Ok(_)));
    Ok(vec![(Metric::Works, f64::from(u8::from(works)))])
}
