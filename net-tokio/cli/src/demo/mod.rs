//! `watertight demo`: a tunnel on one machine, with real sockets and real ledgers.

mod client;
mod output;
mod services;
mod steps;
mod world;

use std::time::{Duration, Instant};

use crate::cli::DemoOptions;
use crate::failure::{Failure, exit_code};
use crate::ledger::LedgerReport;
use crate::process::Signals;

use output::{Progress, StepError, print};
use world::{Ends, World};

/// How long ended tasks may take to leave the runtime's count.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// Runs the demo and returns the exit code.
pub(crate) async fn run(options: DemoOptions) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let start = Instant::now();
    let mut world = World::start().await?;
    let mut progress = Progress::new(steps::STEPS);
    introduce(&world);
    let steps = steps::run(&mut world, &mut progress, u64::from(options.size) << 20);
    let done = tokio::select! {
        done = steps => done,
        _ = signals.next() => Err(StepError::new("interrupted")),
    };
    if let Err(error) = &done {
        print(&format!("  FAILED: {error}"));
    }
    let ends = world.stop(&mut signals).await;
    let settled = show(&ends) && no_task_is_left().await;
    let verdict = match (done.is_ok(), settled) {
        (true, true) => "even: what was opened was closed, and nothing is held",
        (false, true) => "the ledgers are even, but a step failed",
        (_, false) => "NOT EVEN",
    };
    print(&format!("{verdict} ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(if done.is_ok() && settled { exit_code::SETTLED } else { exit_code::NOT_SETTLED })
}

fn introduce(world: &World) {
    let agents = world.server.addresses("agents").next();
    let agents = agents.map(ToString::to_string).unwrap_or_default();
    print("server, agent and services in one process, real sockets between them:");
    print(&format!(
        "  client → forward {} → server {agents} ⇐ agent → HTTP service {}",
        world.http, world.services.http
    ));
    print("");
}

/// Prints every ledger. Whether all are settled.
fn show(ends: &Ends) -> bool {
    print("");
    print(&format!(
        "{:14}{:>8}{:>9}{:>6}{:>12}{:>7}",
        "ledger", "added", "removed", "live", "bytes held", "tasks"
    ));
    row("server", &ends.server);
    for (name, ledger) in &ends.agents {
        row(name, ledger);
    }
    let agents = ends.agents.iter().all(|(_, ledger)| ledger.settled);
    ends.server.settled && agents && ends.other_tasks == 0
}

fn row(name: &str, ledger: &LedgerReport) {
    let connections = &ledger.connections;
    let (removed, held) = (connections.removed.total(), ledger.bytes_held());
    print(&format!(
        "{name:14}{:>8}{removed:>9}{:>6}{held:>12}{:>7}  {}",
        connections.added,
        connections.live,
        ledger.tasks,
        if ledger.settled { "even" } else { "NOT EVEN" }
    ));
}

/// Whether the runtime itself has no task left but this one, which it does not count.
async fn no_task_is_left() -> bool {
    let metrics = tokio::runtime::Handle::current().metrics();
    let ended = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(LAST_TASKS, ended).await.is_ok();
    if !ended {
        print(&format!("{} tasks are left in the runtime", metrics.num_alive_tasks()));
    }
    ended
}
