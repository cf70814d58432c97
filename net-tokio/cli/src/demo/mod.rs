//! `watertight demo`: the story of a tunnel on one machine, with real sockets and real books.

mod client;
mod narrator;
mod pattern;
mod services;
mod stage;
mod story;
mod wrong;

use std::time::{Duration, Instant};

use crate::books::Books;
use crate::cli::DemoOptions;
use crate::failure::{Failure, exit_code};
use crate::signals::Signals;

use narrator::{Narrator, say};
use stage::{Ends, Stage};
use wrong::Wrong;

/// How long ended tasks may take to leave the runtime's count.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// Tells the story and returns the exit code.
pub(crate) async fn run(options: DemoOptions) -> Result<u8, Failure> {
    let mut signals = Signals::install()?;
    let start = Instant::now();
    let mut stage = Stage::set().await?;
    let mut narrator = Narrator::new(story::STEPS);
    introduce(&stage);
    let story = story::tell(&mut stage, &mut narrator, u64::from(options.size) << 20);
    let told = tokio::select! {
        told = story => told,
        _ = signals.next() => Err(Wrong::new("interrupted")),
    };
    if let Err(wrong) = &told {
        say(&format!("  FAILED: {wrong}"));
    }
    let ends = stage.clear(&mut signals).await;
    let even = show(&ends) && no_task_is_left().await;
    let good = told.is_ok() && even;
    let verdict = match (told.is_ok(), even) {
        (true, true) => "even: what was opened was closed, and nothing is held",
        (false, true) => "the books are even, but a step failed",
        (_, false) => "UNEVEN",
    };
    say(&format!("{verdict} ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(if good { exit_code::EVEN } else { exit_code::UNEVEN })
}

fn introduce(stage: &Stage) {
    let agents = stage.server.addresses("agents").next();
    let agents = agents.map(ToString::to_string).unwrap_or_default();
    say("server, agent and services in one process, real sockets between them:");
    say(&format!(
        "  client → forward {} → server {agents} ⇐ agent → HTTP service {}",
        stage.http, stage.services.http
    ));
    say("");
}

/// Prints the books of everyone. Whether all are even.
fn show(ends: &Ends) -> bool {
    say("");
    say(&format!(
        "{:14}{:>8}{:>9}{:>6}{:>12}{:>7}",
        "ledger", "added", "removed", "live", "bytes held", "tasks"
    ));
    row("server", &ends.server);
    for (name, books) in &ends.agents {
        row(name, books);
    }
    let agents_even = ends.agents.iter().all(|(_, books)| books.even);
    ends.server.even && agents_even && ends.other_tasks == 0
}

fn row(name: &str, books: &Books) {
    let ledger = &books.connections;
    let (removed, held) = (ledger.removed.total(), books.bytes_held());
    say(&format!(
        "{name:14}{:>8}{removed:>9}{:>6}{held:>12}{:>7}  {}",
        ledger.added,
        ledger.live,
        books.tasks,
        if books.even { "even" } else { "UNEVEN" }
    ));
}

/// Whether the runtime itself has no task left but this one, which it does not count.
async fn no_task_is_left() -> bool {
    let metrics = tokio::runtime::Handle::current().metrics();
    let gone = async {
        while metrics.num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let gone = tokio::time::timeout(LAST_TASKS, gone).await.is_ok();
    if !gone {
        say(&format!("{} tasks are left in the runtime", metrics.num_alive_tasks()));
    }
    gone
}
