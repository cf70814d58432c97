//! Throughput, and the CPU time of both ends for a GiB.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

use super::{Bench, Direction, Measured, Metric, Trouble, all_go_on};
use crate::contender::Pair;
use crate::service::{BOTH, CHUNK, POUR, SWALLOW, ask};

const GIB: f64 = (1_u64 << 30) as f64;

pub(super) async fn run(
    bench: Bench<'_>,
    direction: Direction,
    connections: usize,
) -> Result<Measured, Trouble> {
    let transfer = Transfer::start(bench, direction, connections);
    sleep(bench.warm_up()).await;
    transfer.measure().await
}

/// A transfer that runs for as long as this exists.
pub(super) struct Transfer<'a> {
    bench: Bench<'a>,
    direction: Direction,
    read: Arc<AtomicU64>,
    tasks: JoinSet<std::io::Result<()>>,
}

/// What had been transferred, and used, at a moment.
struct Reading {
    at: Instant,
    bytes: u64,
    cpu: Pair,
}

impl<'a> Transfer<'a> {
    pub(super) fn start(bench: Bench<'a>, direction: Direction, connections: usize) -> Self {
        let read = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            tasks.spawn(transfer(bench.route.at, direction, Arc::clone(&read)));
        }
        Self { bench, direction, read, tasks }
    }

    /// Measures for the length of the window.
    pub(super) async fn measure(mut self) -> Result<Measured, Trouble> {
        let from = self.reading().await?;
        sleep(self.bench.window).await;
        let to = self.reading().await?;
        all_go_on(&mut self.tasks)?;
        let bytes = to.bytes - from.bytes;
        if bytes == 0 {
            return Err(Trouble::Stuck);
        }
        let gib = bytes as f64 / GIB;
        let seconds = (to.at - from.at).as_secs_f64();
        let [near, far] = [0, 1].map(|end| (to.cpu[end] - from.cpu[end]) / gib);
        let streams = if self.direction == Direction::Both { 2.0 } else { 1.0 };
        let mut measured = vec![(Metric::Rate, gib / seconds / streams)];
        if self.bench.route.ends.is_some() {
            measured.extend([
                (Metric::Cpu, near + far),
                (Metric::CpuNear, near),
                (Metric::CpuFar, far),
            ]);
        }
        Ok(measured)
    }

    /// What counts is what has arrived.
    async fn reading(&self) -> crate::Result<Reading> {
        let cpu = self.bench.route.cpu()?;
        let up = match self.direction {
            Direction::Down => 0,
            Direction::Up | Direction::Both => self.bench.swallowed.bytes().await?,
        };
        let bytes = up + self.read.load(Ordering::Relaxed);
        Ok(Reading { at: Instant::now(), bytes, cpu })
    }
}

async fn transfer(
    route: SocketAddr,
    direction: Direction,
    read: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let what = match direction {
        Direction::Up => SWALLOW,
        Direction::Down => POUR,
        Direction::Both => BOTH,
    };
    let mut socket = ask(route, what).await?;
    let (reader, writer) = socket.split();
    match direction {
        Direction::Up => write(writer).await,
        Direction::Down => count(reader, &read).await,
        Direction::Both => tokio::try_join!(write(writer), count(reader, &read)).map(drop),
    }
}

async fn write(mut socket: WriteHalf<'_>) -> std::io::Result<()> {
    let chunk = vec![7; CHUNK];
    loop {
        socket.write_all(&chunk).await?;
        yield_now().await;
    }
}

async fn count(mut socket: ReadHalf<'_>, read: &AtomicU64) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match socket.read(&mut chunk).await? {
            0 => return Ok(()),
            bytes => read.fetch_add(bytes as u64, Ordering::Relaxed),
        };
        yield_now().await;
    }
}
