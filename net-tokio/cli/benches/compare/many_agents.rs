//! One server with many agents: what those cost that do nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};
use watertight::{Agent, Policy};

use crate::Result;
use crate::contender::ours;
use crate::contender::programs::Programs;
use crate::part::Part;
use crate::service::{ONE, ask};

/// How long idle agents are watched: two of their pings.
const WATCHED: Duration = Duration::from_secs(10);

/// Dials that are timed, one after the other, after as many that are not.
const DIALS: usize = 1000;

/// Agents that connect at once.
const AT_A_TIME: usize = 50;

/// Prints a row for each number of agents.
pub(crate) async fn run(sizes: &[usize]) -> Result<()> {
    let service = Part::own(&["service"])?;
    let at = service.line("at ")?.parse()?;
    let programs = Programs::new(None);
    println!(
        "| agents | KiB a session at the server | CPU of the idle server, ms a second | dial, p50 µs \
         | p99 µs |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for &size in sizes {
        row(size, at, &programs).await?;
    }
    Ok(())
}

async fn row(size: usize, service: SocketAddr, programs: &Programs) -> Result<()> {
    let server = ours::server(programs.ours(), "ws", "edge-0", service)?;
    let empty = server.near.resident()?;
    let far = Part::own(&["many-agents", &server.agents, &size.to_string()])?;
    far.line("ready")?;
    sleep(Duration::from_secs(1)).await;
    let each = (server.near.resident()? - empty) / size as f64;
    let cpu = server.near.cpu()?;
    sleep(WATCHED).await;
    let cpu = (server.near.cpu()? - cpu) / WATCHED.as_secs_f64() * 1000.0;
    let times = dials(server.at.parse()?).await?;
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(f64::NAN);
    println!("| {size} | {each:.1} | {cpu:.1} | {:.0} | {:.0} |", at(50), at(99));
    Ok(())
}

/// How long a connection takes until it has carried a byte in each direction, in µs, sorted.
async fn dials(route: SocketAddr) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(DIALS);
    for number in 0..2 * DIALS {
        let started = Instant::now();
        ask(route, ONE).await?.read_u8().await?;
        if number >= DIALS {
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The part of the agents, each with a key of its own; the first is the one that is dialled.
pub(crate) async fn agents(server: &str, count: usize) -> Result<()> {
    let policy: Policy = ["tcp/127.0.0.1:*".parse()?].into_iter().collect();
    let mut agents = Vec::with_capacity(count);
    for number in 0..count {
        let url = format!("ws://{server}/connect").parse()?;
        let agent = Agent::builder(url, &format!("edge-{number}")).token(ours::TOKEN);
        agents.push(agent.policy(policy.clone()).start());
        if agents.len() % AT_A_TIME == 0 {
            all_connected(&agents[number + 1 - AT_A_TIME..]).await?;
        }
    }
    all_connected(&agents).await?;
    println!("ready");
    std::future::pending().await
}

async fn all_connected(agents: &[Agent]) -> Result<()> {
    for agent in agents {
        agent.connected().await?;
    }
    Ok(())
}
