//! The steps of the demo. Each shows something, measures it, and checks every byte.

use std::time::{Duration, Instant};

use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::client::{Download, HttpClient, within};
use super::output::{Progress, Step, StepError, millis, percentiles, rate, size};
use super::services::Pattern;
use super::world::{KEY, SETTLE, World};
use crate::tasks::Tasks;

pub(super) const STEPS: usize = 5;

/// Runs all steps, with a download of `size` bytes. A step that fails ends them.
pub(super) async fn run(
    world: &mut World,
    progress: &mut Progress,
    size: u64,
) -> Result<(), StepError> {
    world.connected().await?;
    download(world, progress, size).await?;
    burst(world, progress).await?;
    half_close(world, progress).await?;
    slow_reader(world, progress).await?;
    kill(world, progress).await
}

const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(120);

/// One connection at full speed.
async fn download(world: &World, progress: &mut Progress, length: u64) -> Result<(), StepError> {
    let title = format!("a download of {} through one connection", size(length));
    let mut step = progress.begin(&title, length);
    let mut client = HttpClient::connect(&world.http, &world.tasks).await?;
    let start = Instant::now();
    within(DOWNLOAD_DEADLINE, "the download", async {
        let mut download = client.get_pattern("", 1, length).await?;
        download.rest(|at| step.at(at)).await
    })
    .await?;
    let rate = rate(length, start.elapsed());
    step.end(&[format!("{rate}, every byte as it was sent")]);
    Ok(())
}

const BURST_REQUESTS: u64 = 1000;
const BURST_AT_ONCE: u64 = 50;
const BURST_LENGTH: u64 = 64;
const BURST_DEADLINE: Duration = Duration::from_secs(60);

/// Many short requests through the admin server's proxy, each with a connection of its own through
/// the tunnel.
async fn burst(world: &World, progress: &mut Progress) -> Result<(), StepError> {
    let title = format!(
        "{BURST_REQUESTS} short requests, {BURST_AT_ONCE} at a time, each on a new connection in the tunnel"
    );
    let mut step = progress.begin(&title, BURST_REQUESTS);
    let prefix = format!("/client/{KEY}/http/{}", world.services.http);
    let mut workers = JoinSet::new();
    for worker in 0..BURST_AT_ONCE {
        let (admin, tasks) = (world.admin.clone(), world.tasks.clone());
        workers.spawn(work(admin, prefix.clone(), tasks, worker));
    }
    let start = Instant::now();
    let mut times = Vec::new();
    within(BURST_DEADLINE, "the requests", async {
        while let Some(done) = workers.join_next().await {
            times.extend(done.map_err(StepError::new)??);
            step.at(times.len() as u64);
        }
        Ok(())
    })
    .await?;
    #[allow(clippy::cast_precision_loss)] // A thousand.
    let rate = BURST_REQUESTS as f64 / start.elapsed().as_secs_f64();
    let times = percentiles(times);
    step.end(&[format!("{rate:.0} requests/s, {times}, each answer its own")]);
    Ok(())
}

/// One worker's share of the requests, one after the other.
async fn work(
    admin: String,
    prefix: String,
    tasks: Tasks,
    worker: u64,
) -> Result<Vec<Duration>, StepError> {
    let mut client = HttpClient::connect(&admin, &tasks).await?;
    let mut times = Vec::new();
    for request in 0..BURST_REQUESTS / BURST_AT_ONCE {
        let start = Instant::now();
        let seed = 1000 + worker * BURST_REQUESTS + request;
        client.get_pattern(&prefix, seed, BURST_LENGTH).await?.rest(|_| {}).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

const HALF_CLOSE_LENGTH: u64 = 4 << 20;
const HALF_CLOSE_PIECE: usize = 64 << 10;
const HALF_CLOSE_DEADLINE: Duration = Duration::from_secs(20);

/// A client that sends everything, finishes its direction, and waits for the answer.
async fn half_close(world: &World, progress: &mut Progress) -> Result<(), StepError> {
    let title = format!(
        "a client that sends {}, half-closes, and is answered only then",
        size(HALF_CLOSE_LENGTH)
    );
    let mut step = progress.begin(&title, HALF_CLOSE_LENGTH);
    let mut socket = TcpStream::connect(&world.digest).await?;
    let mut sent = Sha256::new();
    let mut pattern = Pattern::new(2);
    let took = within(HALF_CLOSE_DEADLINE, "the answer", async {
        while pattern.at() < HALF_CLOSE_LENGTH {
            let piece = pattern.take(HALF_CLOSE_PIECE);
            socket.write_all(&piece).await?;
            sent.update(&piece);
            step.at(pattern.at());
        }
        socket.shutdown().await?;
        let closed = Instant::now();
        let (length, digest) = answer(&mut socket).await?;
        if length != HALF_CLOSE_LENGTH || digest != sent.finalize().as_slice() {
            return Err(StepError::new(format!(
                "what arrived, {length} bytes, is not what was sent"
            )));
        }
        Ok(closed.elapsed())
    })
    .await?;
    let took = millis(took);
    step.end(&[format!("answered {took} after the end-of-file, with the right SHA-256")]);
    Ok(())
}

async fn answer(socket: &mut TcpStream) -> Result<(u64, Vec<u8>), StepError> {
    let length = socket.read_u64().await?;
    let mut digest = Vec::new();
    socket.read_to_end(&mut digest).await?;
    Ok((length, digest))
}

/// How much the reader asks for.
const SLOW_READER_ASKED: u64 = 1 << 30;

/// How long the reader keeps what it asked for waiting.
const SLOW_READER_LASTS: Duration = Duration::from_secs(2);

/// Between two of its reads, which makes it read a few MiB in all.
const SLOW_READER_PAUSE: Duration = Duration::from_millis(20);

/// A small receive buffer, so that the bytes wait in the tunnel and not in the kernel.
const SLOW_READER_RECEIVE_BUFFER: u32 = 64 << 10;

/// What both ends together may hold for one connection whose reader is slow: the largest window
/// that a reader earns, and the largest send buffer.
const SLOW_READER_MAY_HOLD: u64 = (16 << 20) + (1 << 20);

const SLOW_READER_LENGTH: u64 = 64;
const SLOW_READER_DEADLINE: Duration = Duration::from_secs(30);

/// A client that asks for much and reads little, beside short requests.
async fn slow_reader(world: &World, progress: &mut Progress) -> Result<(), StepError> {
    let title = format!(
        "a slow reader with {} behind it, and short requests beside it",
        size(SLOW_READER_ASKED)
    );
    let mut step = progress.begin(&title, whole_millis(SLOW_READER_LASTS));
    let mut client = slow(world).await?;
    let mut download = client.get_pattern("", 3, SLOW_READER_ASKED).await?;
    let end = Instant::now() + SLOW_READER_LASTS;
    let both = async {
        tokio::try_join!(read_slowly(&mut download, end), work_beside(world, &mut step, end))
    };
    let (read, (times, held)) = within(SLOW_READER_DEADLINE, "the short requests", both).await?;
    if held > SLOW_READER_MAY_HOLD {
        return Err(StepError::new(format!("both ends held {}", size(held))));
    }
    let (count, times) = (times.len(), percentiles(times));
    drop((client, download));
    world.quiet().await?;
    let (read, held) = (size(read), size(held));
    step.end(&[
        format!("{read} read; both ends together held {held} at most, and nothing afterwards"),
        format!("{count} short requests beside it: {times}"),
    ]);
    Ok(())
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn slow(world: &World) -> Result<HttpClient, StepError> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SLOW_READER_RECEIVE_BUFFER)?;
    let address = world.http.parse().map_err(StepError::new)?;
    HttpClient::on(socket.connect(address).await?, &world.tasks).await
}

async fn read_slowly(download: &mut Download, end: Instant) -> Result<u64, StepError> {
    while Instant::now() < end {
        download.piece().await?;
        tokio::time::sleep(SLOW_READER_PAUSE).await;
    }
    Ok(download.at())
}

/// Sends short requests. Returns their times, and the most bytes that both ends held.
async fn work_beside(
    world: &World,
    step: &mut Step,
    end: Instant,
) -> Result<(Vec<Duration>, u64), StepError> {
    let mut client = HttpClient::connect(&world.http, &world.tasks).await?;
    let (mut times, mut held) = (Vec::new(), 0);
    while Instant::now() < end {
        times.push(short_request(&mut client, times.len() as u64).await?);
        held = world.bytes_held().max(held);
        step.at(whole_millis(SLOW_READER_LASTS.saturating_sub(end - Instant::now())));
    }
    Ok((times, held))
}

async fn short_request(client: &mut HttpClient, number: u64) -> Result<Duration, StepError> {
    let start = Instant::now();
    client.get_pattern("", 5000 + number, SLOW_READER_LENGTH).await?.rest(|_| {}).await?;
    Ok(start.elapsed())
}

/// Bytes of the transfer before the agent dies.
const KILL_PART: u64 = 8 << 20;

/// How much is asked for: more than windows and sockets can hold, so that the transfer cannot be
/// complete when the agent dies.
const KILL_ASKED: u64 = 1 << 30;

/// How much is transferred through the new agent.
const KILL_AFTERWARDS: u64 = 32 << 20;

/// The agent dies in the middle of a transfer, and another one replaces it.
async fn kill(world: &mut World, progress: &mut Progress) -> Result<(), StepError> {
    let title = "an agent that is killed in the middle of a transfer, and comes back";
    let mut step = progress.begin(title, KILL_AFTERWARDS);
    let mut client = HttpClient::connect(&world.http, &world.tasks).await?;
    let mut download = client.get_pattern("", 4, KILL_ASKED).await?;
    while download.at() < KILL_PART {
        download.piece().await?;
    }
    let killed = Instant::now();
    world.kill_agent().await?;
    let error = cut_off(&mut download).await?;
    let noticed = millis(killed.elapsed());
    unreachable(world).await?;
    let start = Instant::now();
    world.start_agent().await?;
    world.connected().await?;
    let mut client = HttpClient::connect(&world.http, &world.tasks).await?;
    let mut again = client.get_pattern("", 5, KILL_AFTERWARDS).await?;
    let back = millis(start.elapsed());
    within(SETTLE, "the second transfer", again.rest(|at| step.at(at))).await?;
    let (part, afterwards) = (size(download.at()), size(KILL_AFTERWARDS));
    step.end(&[
        format!("{part} into it the client gets an error, {noticed} after the kill:"),
        format!("\"{error}\""),
        format!("a new agent answers {back} after its start; {afterwards} came through it, whole"),
    ]);
    Ok(())
}

/// Reads on until the transfer fails. That it ends as if it were complete is not allowed.
async fn cut_off(download: &mut Download) -> Result<String, StepError> {
    within(SETTLE, "waiting for the client's error", async {
        loop {
            match download.piece().await {
                Ok(true) => {}
                Ok(false) => return Err(StepError::new("the transfer ended as if complete")),
                Err(error) => return Ok(error.to_string()),
            }
        }
    })
    .await
}

/// The proxy must answer that the client is unknown.
async fn unreachable(world: &World) -> Result<(), StepError> {
    let mut client = HttpClient::connect(&world.admin, &world.tasks).await?;
    within(SETTLE, "waiting for the server to miss the agent", async {
        loop {
            let path = format!("/client/{KEY}/http/{}/6/64", world.services.http);
            let (status, mut body) = client.get(&path).await?;
            while http_body_util::BodyExt::frame(&mut body).await.transpose()?.is_some() {}
            if status == StatusCode::NOT_FOUND {
                return Ok(());
            }
        }
    })
    .await
}
