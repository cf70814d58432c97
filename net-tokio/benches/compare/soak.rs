//! A tunnel at full load, with connections that come and go: does it grow?

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::contender::programs::Programs;
use crate::contender::{Contender, Ends, Route};
use crate::part::Part;
use crate::service::{CHUNK, ONE, POUR, SWALLOW, ask, ask_echo, exchange};

/// How long a transfer goes on before another takes its place.
const TRANSFER: Duration = Duration::from_millis(700);

/// Transfers at once: downloads, as many uploads, and as many readers that stop.
const TRANSFERS: usize = 4;

/// Connections at once that carry a few requests and are closed, and that carry a byte.
const SHORT: usize = 16;

/// How much larger the ends may be at the end, all in all: what an allocator keeps varies.
const MAY_GROW_KIB: f64 = 32.0 * 1024.0;

/// Resident KiB of both ends, and when.
type Reading = (Duration, f64);

/// Runs it for so long. An error if the ends have grown, or their books are uneven.
pub(crate) async fn run(contender: Contender, length: Duration) -> Result<()> {
    let service = Part::own(&["service"])?;
    let programs = Programs::new(None);
    let route = contender.start(service.line("at ")?.parse()?, &programs).await?;
    let mut load = load(route.at);
    let readings = watch(&route, length).await?;
    let failed = load.try_join_next();
    drop(load);
    if let Some(failed) = failed {
        failed??;
    }
    route.settle().await?;
    judge(&readings, length)?;
    ledgers(route)
}

/// What the ends hold, once a second.
async fn watch(route: &Route, length: Duration) -> Result<Vec<Reading>> {
    let (begun, mut readings) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        sleep(Duration::from_secs(1)).await;
        let [near, far] = route.resident()?;
        let at = begun.elapsed();
        if readings.len() % 10 == 9 {
            println!("{:4} s: near {near:.0} KiB, far {far:.0} KiB", at.as_secs());
        }
        readings.push((at, near + far));
    }
    Ok(readings)
}

/// Compares the last tenth with the second one.
fn judge(readings: &[Reading], length: Duration) -> Result<()> {
    let most = |from: u32, to: u32| {
        let tenth = length / 10;
        let within = readings.iter().filter(|(at, _)| (tenth * from..=tenth * to).contains(at));
        within.map(|(_, size)| *size).fold(0.0, f64::max)
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
            return Err("the books are uneven".into());
        }
    }
    Ok(())
}

/// Goes on until it is dropped.
fn load(route: SocketAddr) -> JoinSet<Result<()>> {
    let mut tasks = JoinSet::new();
    for _ in 0..TRANSFERS {
        tasks.spawn(again(move || for_a_while(download(route))));
        tasks.spawn(again(move || for_a_while(upload(route))));
        tasks.spawn(again(move || for_a_while(stopped(route))));
    }
    for _ in 0..SHORT {
        tasks.spawn(again(move || requests(route)));
        tasks.spawn(again(move || one_byte(route)));
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

async fn download(route: SocketAddr) -> Result<()> {
    let (mut socket, mut chunk) = (ask(route, POUR).await?, vec![0; CHUNK]);
    loop {
        socket.read_exact(&mut chunk).await?;
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

async fn requests(route: SocketAddr) -> Result<()> {
    let mut message = [1; 1000];
    let mut socket = ask_echo(route, message.len()).await?;
    for _ in 0..20 {
        exchange(&mut socket, &mut message).await?;
    }
    Ok(())
}

async fn one_byte(route: SocketAddr) -> Result<()> {
    ask(route, ONE).await?.read_u8().await?;
    Ok(())
}
