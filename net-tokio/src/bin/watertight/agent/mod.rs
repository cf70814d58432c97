//! `watertight agent`

mod plan;
mod running;

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
    let agent = RunningAgent::start(&plan).await?;
    agent.announce(output);
    signals.next().await;
    Ok(agent.stop(plan.drain_timeout, &mut signals).await)
}
