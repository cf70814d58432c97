//! The software of an agent's host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, spawn_local};
use watertight::simulation::SimulatedSocket;
use watertight::{Agent, AgentStatus, Endpoint, Keepalive, WaitReason};

use super::application::{self, Dialler, until_death};
use super::connect::{TOKEN, connect};
use super::environment::Environment;
use super::host_state::{Command, HostState};
use super::ledger::last_ledger;
use super::plan::{Deviation, FOREVER, KEEPALIVE, client_key};
use super::resolver::Names;
use super::session_events::watch_agent;
use super::target::{dial, handle};
use crate::schedule::{self, Host, TargetSide, Transport};

/// Runs an agent, until it is stopped or dies.
pub(super) async fn run(
    env: Arc<Environment>,
    number: u8,
    commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Agent(number);
    env.with_host(host, |state| state.runtime = Some(tokio::runtime::Handle::current()));
    let software = serve(Arc::clone(&env), number, commands);
    until_death(env, host, software).await
}

async fn serve(
    env: Arc<Environment>,
    number: u8,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Agent(number);
    let mut process = Process { env: Arc::clone(&env), number, watchers: Vec::new() };
    loop {
        let names = Arc::new(Names::new(env.plan.deviation));
        env.with_host(host, |state| state.names = Some(names));
        process.start()?;
        let (within, again) = process.obey(&mut commands).await?;
        process.shut_down(within).await;
        if !again {
            break;
        }
    }
    env.with_host(host, |state| state.is_stopped = true);
    std::future::pending().await
}

struct Process {
    env: Arc<Environment>,
    number: u8,
    /// The tasks that record the status of its agents.
    watchers: Vec<JoinHandle<()>>,
}

impl Process {
    const fn host(&self) -> Host {
        Host::Agent(self.number)
    }

    fn start(&mut self) -> turmoil::Result<(u64, Agent)> {
        let start = self.env.with_host(self.host(), HostState::start).unwrap_or_default();
        let agent = build(&self.env, self.number, start)?;
        let watching = watch_agent(Arc::clone(&self.env), self.host(), agent.status());
        self.watchers.push(spawn_local(watching));
        self.env.with_host(self.host(), |state| state.agents.push((start, agent.clone())));
        Ok((start, agent))
    }

    fn newest(&self) -> Option<(u64, Agent)> {
        self.env.with_host(self.host(), |state| state.agents.last().cloned()).flatten()
    }

    /// Performs commands until the one to shut down. Returns its timeout, and whether the agent starts again.
    async fn obey(
        &mut self,
        commands: &mut UnboundedReceiver<Command>,
    ) -> turmoil::Result<(Duration, bool)> {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Dial(stream) => {
                    if let Some((_, agent)) = self.newest() {
                        let dialler = Dialler::Agent(agent);
                        spawn_local(application::run(Arc::clone(&self.env), stream, dialler));
                    }
                }
                Command::Drain { within, .. } => self.succeed(false, within)?,
                Command::Replace => self.succeed(true, Duration::ZERO)?,
                Command::Restart(within) => return Ok((within, true)),
                Command::Stop(within) => return Ok((within, false)),
                Command::Disconnect(_) | Command::Send(_) | Command::Visit(_) | Command::HangUp => {
                }
            }
        }
        Ok((Duration::ZERO, false))
    }

    /// Starts another agent beside the one that runs. That one shuts down at once, or only when it
    /// is `replaced`.
    fn succeed(&mut self, replaced: bool, within: Duration) -> turmoil::Result {
        let Some((start, old)) = self.newest() else { return Ok(()) };
        let (_, new) = self.start()?;
        let (env, host) = (Arc::clone(&self.env), self.host());
        spawn_local(async move {
            if replaced {
                take_over(&old, &new).await;
            }
            retire(&env, host, (start, old), within).await;
        });
        Ok(())
    }

    async fn shut_down(&mut self, within: Duration) {
        let agents =
            self.env.with_host(self.host(), |state| state.agents.clone()).unwrap_or_default();
        for agent in agents {
            retire(&self.env, self.host(), agent, within).await;
        }
        for watcher in self.watchers.drain(..) {
            // It ends when its agent has.
            watcher.await.ok();
        }
        let (env, host) = (&self.env, self.host());
        let ledger = env.with_host(host, |state| {
            let ledger = last_ledger(env, host, state);
            state.names = None;
            state.past = Default::default();
            state.sessions = Default::default();
            state.forget_totals();
            ledger
        });
        ledger.into_iter().for_each(|ledger| env.recorder.close(ledger));
    }
}

/// Waits until the new agent has replaced the old one at the server.
async fn take_over(old: &Agent, new: &Agent) {
    let mut status = old.status();
    let is_replaced = |status: &AgentStatus| {
        matches!(status, AgentStatus::Waiting { reason: WaitReason::Replaced, .. })
    };
    // In both cases there is nothing more to wait for.
    tokio::select! {
        biased;
        _ = status.wait_for(is_replaced) => {}
        _ = new.connected() => {}
    }
}

/// Shuts an agent down and keeps its ledger.
async fn retire(env: &Environment, host: Host, (start, agent): (u64, Agent), within: Duration) {
    let ledger = agent.clone().shutdown(within).await;
    env.recorder.trace_host(host, || format!("has shut down: {}", ledger.connections));
    if !ledger.is_settled() {
        env.recorder.contradict(format!(
            "{host} shut down with {} tasks, {}",
            ledger.tasks, ledger.connections
        ));
    }
    env.with_host(host, |state| {
        let before = state.agents.len();
        state.agents.retain(|(other, _)| *other != start);
        if state.agents.len() < before {
            state.past.absorb(&agent.ledger().connections);
        }
    });
}

fn build(env: &Arc<Environment>, number: u8, start: u64) -> turmoil::Result<Agent> {
    let host = Host::Agent(number);
    let agent = env.plan.agent(number).ok_or("no such agent")?;
    let home = agent.home;
    let (reaching, answering) = (Arc::clone(env), Arc::clone(env));
    let builder = Agent::builder(endpoint(agent)?, &client_key(number))
        .token(TOKEN)
        .unmasked()
        .write_buffer(env.plan.write_buffer())
        .seed(env.plan.seed(host, start))
        .session(env.plan.agent_session())
        .reconnect(env.plan.reconnect())
        .keepalive(Keepalive::after(KEEPALIVE))
        .connect_timeout(deadline(env))
        .connect_with(move || {
            let connecting = connect(Arc::clone(&reaching), host, home);
            async move { connecting.await.map(SimulatedSocket::new) }
        });
    let builder = match agent.targets {
        TargetSide::Handler => builder
            .dial_handler(move |incoming| handle(Arc::clone(&answering), host, None, incoming)),
        TargetSide::Dialer => {
            builder.dialer(move |target| dial(Arc::clone(&answering), host, target))
        }
    };
    let base = agent.kind.is_base();
    Ok(if base { builder.base_dialect() } else { builder }.start())
}

fn deadline(env: &Environment) -> Duration {
    match env.plan.deviation {
        Deviation::AnswerAwaited => FOREVER,
        _ => env.plan.handshake(),
    }
}

fn endpoint(agent: &schedule::Agent) -> turmoil::Result<Endpoint> {
    let home = Host::Server(agent.home);
    Ok(match agent.transport {
        Transport::WebSocket => format!("ws://{home}/connect").parse()?,
        Transport::ByteStream => format!("tcp://{home}:80").parse()?,
    })
}
