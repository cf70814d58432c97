//! The software of strangers: some connect to a server, others answer in the place of one.

mod impostor;
mod visitor;
mod wire;

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::connect::{accept, listen};
use super::stage::Stage;
use crate::schedule::Host;

pub(super) use visitor::{UNKNOWN, Visitors};
pub(super) use wire::length;

/// Runs the strangers' host, until it is told to stop.
pub(super) async fn run(
    stage: Arc<Stage>,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let healed = CancellationToken::new();
    spawn_local(answer_all(Arc::clone(&stage), healed.clone()));
    let mut number = 0;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Visit(visitors) => {
                for _ in 0..visitors.sockets {
                    number += 1;
                    let (stage, healed) = (Arc::clone(&stage), healed.clone());
                    spawn_local(visitor::visit_again(stage, number, visitors.clone(), healed));
                }
            }
            // Those that wait for what a server does stay: it has to close them.
            Command::HangUp => {
                healed.cancel();
                stage.at(Host::Strangers, |desk| desk.is_stopped = true);
            }
            Command::Stop(_) => break,
            _ => {}
        }
    }
    healed.cancel();
    stage.at(Host::Strangers, |desk| desk.is_stopped = true);
    std::future::pending().await
}

/// Answers those who take this host for a server's.
async fn answer_all(stage: Arc<Stage>, healed: CancellationToken) -> turmoil::Result {
    let listener = listen().await?;
    loop {
        let (socket, _) = accept(&stage, Host::Strangers, &listener).await?;
        spawn_local(impostor::answer(Arc::clone(&stage), socket, healed.clone()));
    }
}
