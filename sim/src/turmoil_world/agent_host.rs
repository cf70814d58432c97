//! The software of an agent's host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, spawn_local};
use watertight::simulation::SimulatedSocket;
use watertight::{Agent, AgentStatus, Endpoint, Keepalive, WaitReason};

use super::application::{self, Dialler, key};
use super::books::Desk;
use super::command::Command;
use super::connect::connect;
use super::death::until_death;
use super::deviation::Deviation;
use super::greeting::TOKEN;
use super::names::Names;
use super::plan::KEEPALIVE;
use super::stage::Stage;
use super::standing::watch_over;
use super::target::{dial, handle};
use crate::schedule::{self, Host, TargetSide, Transport};

/// Runs an agent, until it is stopped or dies.
pub(super) async fn run(
    stage: Arc<Stage>,
    number: u8,
    commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Agent(number);
    stage.at(host, |desk| desk.runtime = Some(tokio::runtime::Handle::current()));
    let software = serve(Arc::clone(&stage), number, commands);
    until_death(stage, host, software).await
}

async fn serve(
    stage: Arc<Stage>,
    number: u8,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Agent(number);
    let mut process = Process { stage: Arc::clone(&stage), number, watchers: Vec::new() };
    loop {
        let names = Arc::new(Names::new(stage.deviation));
        stage.at(host, |desk| desk.names = Some(names));
        process.start()?;
        let (within, again) = process.obey(&mut commands).await?;
        process.shut_down(within).await;
        if !again {
            break;
        }
    }
    stage.at(host, |desk| desk.is_stopped = true);
    std::future::pending().await
}

struct Process {
    stage: Arc<Stage>,
    number: u8,
    /// Those who note what becomes of its agents.
    watchers: Vec<JoinHandle<()>>,
}

impl Process {
    const fn host(&self) -> Host {
        Host::Agent(self.number)
    }

    fn start(&mut self) -> turmoil::Result<(u64, Agent)> {
        let start = self.stage.at(self.host(), Desk::start).unwrap_or_default();
        let agent = build(&self.stage, self.number, start)?;
        let watching = watch_over(Arc::clone(&self.stage), self.host(), agent.status());
        self.watchers.push(spawn_local(watching));
        self.stage.at(self.host(), |desk| desk.agents.push((start, agent.clone())));
        Ok((start, agent))
    }

    fn newest(&self) -> Option<(u64, Agent)> {
        self.stage.at(self.host(), |desk| desk.agents.last().cloned()).flatten()
    }

    /// Does what it is told, until it is told to shut down: within which time, and whether it starts
    /// again.
    async fn obey(
        &mut self,
        commands: &mut UnboundedReceiver<Command>,
    ) -> turmoil::Result<(Duration, bool)> {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Dial(stream) => {
                    if let Some((_, agent)) = self.newest() {
                        let dialler = Dialler::Agent(agent);
                        spawn_local(application::run(Arc::clone(&self.stage), stream, dialler));
                    }
                }
                Command::Drain { within, .. } => self.succeed(false, within)?,
                Command::Replace => self.succeed(true, Duration::ZERO)?,
                Command::Restart(within) => return Ok((within, true)),
                Command::Stop(within) => return Ok((within, false)),
                Command::Disconnect(_) | Command::Say(_) | Command::Visit(_) | Command::HangUp => {}
            }
        }
        Ok((Duration::ZERO, false))
    }

    /// Starts another agent beside the one that runs. That one shuts down at once, or only when it
    /// is `replaced`.
    fn succeed(&mut self, replaced: bool, within: Duration) -> turmoil::Result {
        let Some((start, old)) = self.newest() else { return Ok(()) };
        let (_, new) = self.start()?;
        let (stage, host) = (Arc::clone(&self.stage), self.host());
        spawn_local(async move {
            if replaced {
                take_over(&old, &new).await;
            }
            retire(&stage, host, (start, old), within).await;
        });
        Ok(())
    }

    async fn shut_down(&mut self, within: Duration) {
        let agents = self.stage.at(self.host(), |desk| desk.agents.clone()).unwrap_or_default();
        for agent in agents {
            retire(&self.stage, self.host(), agent, within).await;
        }
        for watcher in self.watchers.drain(..) {
            // It ends when its agent has.
            watcher.await.ok();
        }
        let (stage, host) = (&self.stage, self.host());
        let books = stage.at(host, |desk| {
            let books = desk.last_books(stage, host);
            desk.names = None;
            desk.past = Default::default();
            desk.account = Default::default();
            desk.forget_totals();
            books
        });
        books.into_iter().for_each(|books| stage.close(books));
    }
}

/// Waits until the server has the new agent in place of the old one.
async fn take_over(old: &Agent, new: &Agent) {
    let mut status = old.status();
    let is_replaced = |status: &AgentStatus| {
        matches!(status, AgentStatus::Waiting { reason: WaitReason::Replaced, .. })
    };
    // Either way there is nothing more to wait for.
    tokio::select! {
        biased;
        _ = status.wait_for(is_replaced) => {}
        _ = new.connected() => {}
    }
}

/// Shuts an agent down and keeps its books.
async fn retire(stage: &Stage, host: Host, (start, agent): (u64, Agent), within: Duration) {
    let ledger = agent.clone().shutdown(within).await;
    stage.tale(host, || format!("has shut down: {}", ledger.connections));
    if !ledger.is_settled() {
        stage.contradict(format!(
            "{host} shut down with {} tasks, {}",
            ledger.tasks, ledger.connections
        ));
    }
    stage.at(host, |desk| {
        let before = desk.agents.len();
        desk.agents.retain(|(other, _)| *other != start);
        if desk.agents.len() < before {
            desk.past.absorb(&agent.ledger().connections);
        }
    });
}

fn build(stage: &Arc<Stage>, number: u8, start: u64) -> turmoil::Result<Agent> {
    let host = Host::Agent(number);
    let agent = stage.agent(number).ok_or("no such agent")?;
    let home = agent.home;
    let (reaching, answering) = (Arc::clone(stage), Arc::clone(stage));
    let builder = Agent::builder(endpoint(agent)?, &key(number))
        .token(TOKEN)
        .unmasked()
        .write_buffer(stage.write_buffer())
        .seed(stage.seed(host, start))
        .session(stage.agent_session())
        .reconnect(stage.reconnect())
        .keepalive(Keepalive::after(KEEPALIVE))
        .connect_timeout(deadline(stage))
        .connect_with(move || {
            let connecting = connect(Arc::clone(&reaching), host, home);
            async move { connecting.await.map(SimulatedSocket::new) }
        });
    let builder = match agent.targets {
        TargetSide::Handler => {
            builder.handler(move |incoming| handle(Arc::clone(&answering), host, None, incoming))
        }
        TargetSide::Dialer => {
            builder.dialer(move |target| dial(Arc::clone(&answering), host, target))
        }
    };
    let base = agent.kind.is_base();
    Ok(if base { builder.base_dialect() } else { builder }.start())
}

fn deadline(stage: &Stage) -> Duration {
    match stage.deviation {
        Deviation::AnswerAwaited => Duration::from_secs(3600),
        _ => stage.handshake(),
    }
}

fn endpoint(agent: &schedule::Agent) -> turmoil::Result<Endpoint> {
    let home = Host::Server(agent.home);
    Ok(match agent.transport {
        Transport::WebSocket => format!("ws://{home}/connect").parse()?,
        Transport::ByteStream => format!("tcp://{home}:80").parse()?,
    })
}
