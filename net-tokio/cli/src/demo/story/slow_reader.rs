use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::super::client::{Client, Download, within};
use super::super::narrator::{Narrator, Step, percentiles, size};
use super::super::stage::Stage;
use super::super::wrong::Wrong;

/// How much the reader asks for.
const ASKED: u64 = 1 << 30;

/// How long the reader keeps what it asked for waiting.
const LASTS: Duration = Duration::from_secs(2);

/// Between two of its reads, which makes it read a few MiB in all.
const PAUSE: Duration = Duration::from_millis(20);

/// A small receive buffer, so that the bytes wait in the tunnel and not in the kernel.
const RECEIVE_BUFFER: u32 = 64 << 10;

/// What both ends together may hold for one connection whose reader is slow: the largest window
/// that a reader earns, and the largest send buffer.
const MAY_HOLD: u64 = (16 << 20) + (1 << 20);

const LENGTH: u64 = 64;
const DEADLINE: Duration = Duration::from_secs(30);

/// A client that asks for much and reads little, beside one in a hurry.
pub(super) async fn show(stage: &Stage, narrator: &mut Narrator) -> Result<(), Wrong> {
    let title =
        format!("a slow reader with {} behind it, and short requests beside it", size(ASKED));
    let mut step = narrator.begin(&title, millis(LASTS));
    let mut client = slow(stage).await?;
    let mut download = client.get_pattern("", 3, ASKED).await?;
    let end = Instant::now() + LASTS;
    let both = async {
        tokio::try_join!(read_slowly(&mut download, end), work_beside(stage, &mut step, end))
    };
    let (read, (times, held)) = within(DEADLINE, "the short requests", both).await?;
    if held > MAY_HOLD {
        return Err(Wrong::new(format!("both ends held {}", size(held))));
    }
    let (count, times) = (times.len(), percentiles(times));
    drop((client, download));
    stage.quiet().await?;
    let (read, held) = (size(read), size(held));
    step.end(&[
        format!("{read} read; both ends together held {held} at most, and nothing afterwards"),
        format!("{count} short requests beside it: {times}"),
    ]);
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn slow(stage: &Stage) -> Result<Client, Wrong> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let address = stage.http.parse().map_err(Wrong::new)?;
    Client::over(socket.connect(address).await?, &stage.tasks).await
}

async fn read_slowly(download: &mut Download, end: Instant) -> Result<u64, Wrong> {
    while Instant::now() < end {
        download.piece().await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(download.at())
}

/// Sends short requests, and looks at what both ends hold. Returns their times and the most.
async fn work_beside(
    stage: &Stage,
    step: &mut Step,
    end: Instant,
) -> Result<(Vec<Duration>, u64), Wrong> {
    let mut client = Client::connect(&stage.http, &stage.tasks).await?;
    let (mut times, mut held) = (Vec::new(), 0);
    while Instant::now() < end {
        times.push(short_request(&mut client, times.len() as u64).await?);
        held = stage.bytes_held().max(held);
        step.at(millis(LASTS.saturating_sub(end - Instant::now())));
    }
    Ok((times, held))
}

async fn short_request(client: &mut Client, number: u64) -> Result<Duration, Wrong> {
    let start = Instant::now();
    client.get_pattern("", 5000 + number, LENGTH).await?.rest(|_| {}).await?;
    Ok(start.elapsed())
}
