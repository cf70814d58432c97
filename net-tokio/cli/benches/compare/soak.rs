//! A tunnel at full load, with connections that come and go: does it grow?

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::contender::programs::Programs;
use crate::contender::{Contender, Ends, Route};
use crate::part::Part;
use crate::service::{CHUNK, ONE, POUR, SWALLOW, Swallowed, ask, ask_echo, exchange};

/// How long a transfer lasts before another one replaces it.
const TRANSFER: Duration = Duration::from_millis(700);

/// Transfers at once: downloads, as many uploads, and as many readers that stop.
const TRANSFERS: usize = 4;

/// Connections at once that carry a few requests and are closed, and that carry a byte.
const SHORT: usize = 16;

/// How much larger the ends may be at the end, all in all: what an allocator keeps varies.
const MAY_GROW_KIB: f64 = 32.0 * 1024.0;

/// What both ends are like at a moment.
struct Reading {
    at: Duration,
    /// KiB of both ends.
    resident: f64,
    /// Completed transfers and connections until then, of each of [`KINDS`].
    done: [u64; 4],
}

/// Traffic that must last until the end.
const KINDS: [&str; 4] = ["downloads", "requests", "connections of one byte", "uploads"];

/// Chunks read, requests answered and connections of one byte.
type Done = [AtomicU64; 3];

/// Runs it for so long. An error if the ends have grown, or their ledgers are not settled.
pub(crate) async fn run(contender: Contender, length: Duration) -> Result<()> {
    let service = Part::own(&["service"])?;
    let programs = Programs::new(None);
    let at = service.line("at ")?.parse()?;
    let route = contender.start(at, &programs).await?;
    let swallowed = Swallowed::of(at).await?;
    let done = Arc::new(Done::default());
    let mut load = load(route.at, &done);
    let readings = watch(&route, length, &done, &swallowed).await?;
    let failed = load.try_join_next();
    drop(load);
    if let Some(failed) = failed {
        failed??;
    }
    route.settle().await?;
    demand_progress(&readings, length)?;
    judge(&readings, length)?;
    ledgers(route)
}

/// The resources of the ends, once a second.
async fn watch(
    route: &Route,
    length: Duration,
    done: &Done,
    swallowed: &Swallowed,
) -> Result<Vec<Reading>> {
    let (begun, mut readings) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        sleep(Duration::from_secs(1)).await;
        let [near, far] = route.resident()?;
        let at = begun.elapsed();
        if readings.len() % 10 == 9 {
            println!("{:4} s: near {near:.0} KiB, far {far:.0} KiB", at.as_secs());
        }
        let [chunks, requests, opened] = done.each_ref().map(|done| done.load(Ordering::Relaxed));
        let done = [chunks, requests, opened, swallowed.bytes().await?];
        readings.push(Reading { at, resident: near + far, done });
    }
    Ok(readings)
}

/// A tunnel that carries nothing does not grow either.
fn demand_progress(readings: &[Reading], length: Duration) -> Result<()> {
    for readings in readings.chunk_by(|a, b| same_tenth(a.at, b.at, length)) {
        // A single reading shows nothing.
        let [from, .., to] = readings else { continue };
        let mut kinds = KINDS.iter().zip(from.done.iter().zip(to.done));
        if let Some((kind, _)) = kinds.find(|(_, (from, to))| *from == to) {
            return Err(format!("no {kind} for {:?} after {:?}", to.at - from.at, from.at).into());
        }
    }
    Ok(())
}

fn same_tenth(a: Duration, b: Duration, length: Duration) -> bool {
    let tenth = |at: Duration| (10.0 * at.as_secs_f64() / length.as_secs_f64()) as u64;
    tenth(a) == tenth(b)
}

/// Compares the last tenth with the second one.
fn judge(readings: &[Reading], length: Duration) -> Result<()> {
    let most = |from: u32, to: u32| {
        let tenth = length / 10;
        let within = readings.iter().filter(|now| (tenth * from..=tenth * to).contains(&now.at));
        within.map(|now| now.resident).fold(0.0, f64::max)
    };
    let (early, late) = (most(1, 2), most(9, 11));
    println!(
        "both ends: {early:.0} KiB at most in the second tenth, {late:.0} KiB in the last one"
    );
    if late > early + MAY_GROW_KIB {
        return Err(format!("they have grown by {:.0} KiB", late - early).into());
    }
    Ok(())
}

fn ledgers(route: Route) -> Result<()> {
    let Some(Ends { near, far }) = route.ends else { return Ok(()) };
    for (end, prefix) in [(far, "agent ledger "), (near, "server ledger ")] {
        let ledger = end.terminate(prefix)?;
        println!("{prefix}{ledger}");
        if !ledger.starts_with("even") {
            return Err("the ledger is not settled".into());
        }
    }
    Ok(())
}

/// Runs until it is dropped.
fn load(route: SocketAddr, done: &Arc<Done>) -> JoinSet<Result<()>> {
    let mut tasks = JoinSet::new();
    for _ in 0..TRANSFERS {
        let chunks = Arc::clone(done);
        tasks.spawn(again(move || for_a_while(download(route, Arc::clone(&chunks)))));
        tasks.spawn(again(move || for_a_while(upload(route))));
        tasks.spawn(again(move || for_a_while(stopped(route))));
    }
    for _ in 0..SHORT {
        let [requested, opened] = [Arc::clone(done), Arc::clone(done)];
        tasks.spawn(again(move || requests(route, Arc::clone(&requested))));
        tasks.spawn(again(move || one_byte(route, Arc::clone(&opened))));
    }
    tasks
}

async fn again<F: Future<Output = Result<()>>>(what: impl Fn() -> F) -> Result<()> {
    loop {
        what().await?;
    }
}

/// The connection is closed in the middle of what it does.
async fn for_a_while(what: impl Future<Output = Result<()>>) -> Result<()> {
    timeout(TRANSFER, what).await.unwrap_or(Ok(()))
}

async fn download(route: SocketAddr, done: Arc<Done>) -> Result<()> {
    let (mut socket, mut chunk) = (ask(route, POUR).await?, vec![0; CHUNK]);
    let [chunks, ..] = &*done;
    loop {
        socket.read_exact(&mut chunk).await?;
        chunks.fetch_add(1, Ordering::Relaxed);
    }
}

async fn upload(route: SocketAddr) -> Result<()> {
    let (mut socket, chunk) = (ask(route, SWALLOW).await?, vec![7; CHUNK]);
    loop {
        socket.write_all(&chunk).await?;
    }
}

async fn stopped(route: SocketAddr) -> Result<()> {
    let _unread = ask(route, POUR).await?;
    std::future::pending().await
}

async fn requests(route: SocketAddr, done: Arc<Done>) -> Result<()> {
    let [_, answered, _] = &*done;
    let mut message = [1; 1000];
    let mut socket = ask_echo(route, message.len()).await?;
    for _ in 0..20 {
        exchange(&mut socket, &mut message).await?;
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn one_byte(route: SocketAddr, done: Arc<Done>) -> Result<()> {
    ask(route, ONE).await?.read_u8().await?;
    let [.., opened] = &*done;
    opened.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
