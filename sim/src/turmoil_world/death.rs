//! How a process dies.

use std::sync::Arc;

use super::stage::Stage;
use crate::schedule::Host;

/// Ends every task of the library on a host once it is told to die. That they end one after the other,
/// in the order in which they are run, matters: a runtime that is dropped drops its tasks in an order
/// that depends on what else has ever run in this program, and two runs of a seed would differ.
pub(super) async fn await_death(stage: Arc<Stage>, host: Host) {
    let Some(death) = stage.at(host, |desk| Arc::clone(&desk.death)) else { return };
    death.notified().await;
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
    stage.at(host, |desk| desk.is_dead = true);
}
