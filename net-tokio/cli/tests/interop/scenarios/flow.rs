//! Readers that do not keep up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::pair::{Case, Pair};
use crate::processes::{PATIENCE, Target, eventually, in_time, pattern};
use crate::rest::{PROMPTLY, Rest};
use crate::services::{connect, is_left, is_served};

const MIB: u64 = 1 << 20;

const CHUNK: usize = 64 << 10;

/// Bytes that a slow reader gets, in some seconds: slower than any source, and much more than can be
/// in flight.
const POURED: u64 = 256 * MIB;

/// Parts after which a slow reader rests.
const BREATH: u64 = 4;

/// How far the memory of a watertight end may grow for a slow reader: it asks the source to stop at
/// 1 MiB, and then the bytes in flight arrive. Twice what it grows by on any pair.
const HELD: u64 = 32 * MIB;

/// How far the memory of a watertight end may grow for a connection whose reader stops: in the base
/// dialect, it has to hold all bytes in flight.
const UNREAD: u64 = 64 * MIB;

pub(crate) async fn slow_reader(case: Case) {
    let (pour, echo) = (Target::pour(POURED).await, Target::echo().await);
    let pair = Pair::start(case, &[pour.at, echo.at]).await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    let (mut socket, expected) = (narrow(pair.forward(pour.at)).await, pattern(0, CHUNK));
    let mut chunk = vec![0; CHUNK];
    let (mut ahead, mut held) = (0, 0);
    for number in 0..POURED / CHUNK as u64 {
        in_time("a part", socket.read_exact(&mut chunk)).await.unwrap();
        assert!(chunk == expected, "part {number} is another one");
        if number % BREATH == 0 {
            tokio::time::sleep(Duration::from_millis(4)).await;
            ahead = ahead.max(pour.sent().saturating_sub(number * CHUNK as u64));
            held = held.max(before.growth(&pair));
        }
    }
    assert_eq!(in_time("the end", socket.read(&mut chunk)).await.unwrap(), 0);
    drop(socket);
    // The source has had to wait, and what it was ahead is in the system's buffers for the most.
    assert!((4 * MIB..POURED / 4).contains(&ahead), "{ahead}");
    assert!(held < HELD, "{held}");
    witness.is_undisturbed().await;
    witness.end().await;
    pair.end(&before).all_is_back().await;
}

pub(crate) async fn stopped_reader(case: Case) {
    let (pour, deaf) = (Target::pour(1 << 30).await, Target::deaf().await);
    let echo = Target::echo().await;
    let pair = Pair::start(case, &[pour.at, deaf.at, echo.at]).await;
    is_served(pair.forward(echo.at)).await;
    let before = Rest::of(&pair).await;

    let mut witness = pair.witness(echo.at).await;
    // Down to a client that stops, and up to a target that never reads.
    let mut reader = narrow(pair.forward(pour.at)).await;
    let writer = Writer::start(pair.forward(deaf.at));
    let sent = settled("the source's standstill", || pour.sent()).await;
    let written = settled("the writer's standstill", || writer.written()).await;
    // Most of it is in the buffers of the system, on seven sockets.
    assert!(sent < 64 * MIB && written < 64 * MIB, "{sent} {written}");
    let growth = before.growth(&pair);
    assert!(growth < UNREAD, "{growth}");
    witness.is_undisturbed().await;

    // One comes back, and misses nothing; it stops again, and goes.
    let (mut chunk, expected) = (vec![0; CHUNK], pattern(0, CHUNK));
    for number in 0..128 * MIB / CHUNK as u64 {
        in_time("a part", reader.read_exact(&mut chunk)).await.unwrap();
        assert!(chunk == expected, "part {number} is another one");
    }
    settled("the source's standstill", || pour.sent()).await;
    witness.is_undisturbed().await;
    drop(reader);
    if !pair.is_behind_go() {
        // It keeps a writer forever that is paused when its connection ends.
        is_left(&pour, PROMPTLY).await;
    }
    drop(deaf);
    in_time("the writer's end", writer.end()).await;
    witness.end().await;
    pair.end(&before).unless_go_leaks("R6").all_is_back().await;
}

/// A client with a small receive buffer.
async fn narrow(at: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let socket = socket.connect(at).await.unwrap();
    socket.set_zero_linger().unwrap();
    socket
}

/// A client that writes for as long as it can.
pub(super) struct Writer {
    written: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub(super) fn start(at: SocketAddr) -> Self {
        let written = Arc::<AtomicU64>::default();
        let count = Arc::clone(&written);
        let task = tokio::spawn(async move {
            let (mut socket, chunk) = (connect(at).await, vec![1; CHUNK]);
            while socket.write_all(&chunk).await.is_ok() {
                count.fetch_add(CHUNK as u64, Ordering::Relaxed);
            }
        });
        Self { written, task }
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until it has been cut off.
    async fn end(self) {
        self.task.await.unwrap();
    }

    /// Cuts it off.
    pub(super) async fn reset(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

/// Waits until a number stays what it is, and returns it.
pub(super) async fn settled(what: &str, number: impl Fn() -> u64) -> u64 {
    eventually(PATIENCE, what, async || {
        let before = number();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if before > 0 && number() == before { Ok(before) } else { Err(format!("{before}")) }
    })
    .await
}
