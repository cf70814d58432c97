//! How a process dies.

use std::future::{Future, pending};
use std::sync::Arc;

use super::stage::Stage;
use crate::schedule::Host;

/// Runs the software of a host until it is told to die, and ends every task of the library then. That
/// they end one after the other, in the order in which they are run, matters, and that the host takes
/// in no socket and no command any more: a runtime that is dropped drops its tasks in an order that
/// depends on what else has ever run in this program, and two runs of a seed would differ.
pub(super) async fn until_death(
    stage: Arc<Stage>,
    host: Host,
    software: impl Future<Output = turmoil::Result>,
) -> turmoil::Result {
    let death = stage.at(host, |desk| Arc::clone(&desk.death)).unwrap_or_default();
    tokio::select! {
        biased;
        () = death.notified() => {}
        ended = software => return ended,
    }
    kill(&stage, host).await;
    stage.at(host, |desk| desk.is_dead = true);
    pending().await
}

async fn kill(stage: &Stage, host: Host) {
    let (server, agents) = stage
        .at(host, |desk| {
            let server = desk.server.as_ref().map(|desk| desk.server.clone());
            (server, desk.agents.clone())
        })
        .unwrap_or_default();
    if let Some(server) = server {
        server.kill().await;
    }
    for (_, agent) in agents {
        agent.kill().await;
    }
}
