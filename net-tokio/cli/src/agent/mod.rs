//! `watertight agent`

mod plan;
mod running;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::books::Books;
use crate::cli::AgentOptions;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

pub(crate) use plan::AgentPlan;
pub(crate) use running::RunningAgent;

/// Runs an agent until a signal ends it, and returns its books.
pub(crate) async fn run(options: AgentOptions, output: Output) -> Result<Books, Failure> {
    let plan = AgentPlan::of(options)?;
    let mut signals = Signals::install()?;
    let hangup = signal(SignalKind::hangup()).map_err(Failure::start)?;
    let agent = RunningAgent::start(&plan).await?;
    agent.announce(output);
    wait(&mut signals, hangup, &agent, output).await;
    Ok(agent.stop(plan.drain_timeout, &mut signals).await)
}

/// Waits for the signal to stop. Meanwhile the agent is ready once its first session is up.
async fn wait(signals: &mut Signals, mut hangup: Signal, agent: &RunningAgent, output: Output) {
    let mut ready = false;
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => return,
            // What a server does then, an agent does before each connection.
            _ = hangup.recv() => info!("token and certificate files are read before the next connection"),
            Ok(()) = agent.agent.connected(), if !ready => {
                output.ready();
                ready = true;
            }
        }
    }
}
