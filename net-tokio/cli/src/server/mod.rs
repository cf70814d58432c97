//! `watertight server`

mod peers;
mod plan;
mod running;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::books::Books;
use crate::cli::ServerOptions;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

pub(crate) use plan::ServerPlan;
pub(crate) use running::RunningServer;

/// Runs a server until a signal ends it, and returns its books.
pub(crate) async fn run(options: ServerOptions, output: Output) -> Result<Books, Failure> {
    let plan = ServerPlan::of(options)?;
    let mut signals = Signals::install()?;
    let hangup = signal(SignalKind::hangup()).map_err(Failure::start)?;
    let server = RunningServer::start(&plan).await?;
    server.announce(output);
    wait_and_reload(&mut signals, hangup, &server).await;
    Ok(server.stop(plan.drain_timeout, &mut signals).await)
}

/// Waits for the signal to stop. SIGHUP reads the files again that may change.
async fn wait_and_reload(signals: &mut Signals, mut hangup: Signal, server: &RunningServer) {
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => return,
            // On a thread that a file which does not answer may block.
            _ = hangup.recv() => drop(tokio::task::spawn_blocking(server.reload())),
        }
    }
}
