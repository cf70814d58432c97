//! Memory of idle connections at both ends.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Bench, Measured, Metric, Trouble};
use crate::service::{ask_echo, exchange};

/// The connections of the comparison where the system allows them.
const WANTED: usize = 20_000;

/// Descriptors that a process has for other things.
const SPARE: u64 = 200;

/// Connections are opened so many at a time.
const AT_A_TIME: usize = 64;

/// How many connections a process may forward here, two descriptors each; at most as many as are
/// wanted.
pub(crate) fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(SPARE) / 2).map_or(WANTED, |most| most.min(WANTED))
}

/// Raises the limit of descriptors of this process and its children.
pub(crate) fn raise_limit() -> crate::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

pub(super) async fn run(bench: Bench<'_>, connections: usize) -> Result<Measured, Trouble> {
    let before = bench.route.resident()?;
    let sockets = open(bench.route.at, connections).await?;
    bench.route.settle().await?;
    let open = bench.route.resident()?;
    drop(sockets);
    sleep(Duration::from_secs(1)).await;
    bench.route.settle().await?;
    let closed = bench.route.resident()?;
    let each = |then: f64, now: f64| (now - then) / connections as f64;
    Ok(vec![
        (Metric::OpenNear, each(before[0], open[0])),
        (Metric::OpenFar, each(before[1], open[1])),
        (Metric::ClosedNear, each(before[0], closed[0])),
        (Metric::ClosedFar, each(before[1], closed[1])),
    ])
}

async fn open(route: SocketAddr, connections: usize) -> crate::Result<Vec<TcpStream>> {
    let mut sockets = Vec::with_capacity(connections);
    let mut opening = JoinSet::new();
    for _ in 0..connections {
        opening.spawn(used(route));
        if opening.len() >= AT_A_TIME {
            sockets.extend(opening.join_next().await.transpose()?.transpose()?);
        }
    }
    while let Some(opened) = opening.join_next().await {
        sockets.push(opened??);
    }
    Ok(sockets)
}

/// A connection that has carried something once.
async fn used(route: SocketAddr) -> std::io::Result<TcpStream> {
    let mut socket = ask_echo(route, 64).await?;
    exchange(&mut socket, &mut [1; 64]).await?;
    Ok(socket)
}
