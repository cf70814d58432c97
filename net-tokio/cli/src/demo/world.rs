//! Server, agent and services of the demo, each started as the program starts them.

use std::sync::Arc;
use std::time::Duration;

use watertight::AgentLedger;

use super::client::{until, within};
use super::output::StepError;
use super::services::Services;
use crate::agent::{AgentPlan, RunningAgent};
use crate::failure::Failure;
use crate::ledger::LedgerReport;
use crate::process::Signals;
use crate::server::{RunningServer, ServerPlan};
use crate::specs::{AdminAddr, AllowSpec, DialTarget, ListenAddr, ServerForward};
use crate::tasks::Tasks;
use crate::tokens::{AgentToken, TokenBook, Tokens};

/// The agent's client key.
pub(super) const KEY: &str = "demo";
const TOKEN: &str = "only-for-the-length-of-a-demo";

/// How long anything on one machine may take to settle.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

const DRAIN: Duration = Duration::from_secs(5);

/// Everything that runs.
#[derive(Debug)]
pub(super) struct World {
    pub(super) server: RunningServer,
    agent: Option<RunningAgent>,
    /// The ledger of agents that were killed.
    killed: Vec<AgentLedger>,
    agent_plan: AgentPlan,
    pub(super) services: Services,
    /// The clients' connections.
    pub(super) tasks: Tasks,
    /// Where the HTTP service, the digest service and the admin server are reached.
    pub(super) http: String,
    pub(super) digest: String,
    pub(super) admin: String,
}

/// The ledger of all that ran, once nothing does.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) server: LedgerReport,
    pub(super) agents: Vec<(&'static str, LedgerReport)>,
    /// Tasks of services and clients that are left.
    pub(super) other_tasks: usize,
}

impl World {
    pub(super) async fn start() -> Result<Self, Failure> {
        let services = Services::start().await.map_err(Failure::start)?;
        let plan = server_plan(&services)?;
        let server = RunningServer::start(&plan).await?;
        let first = |purpose| server.addresses(purpose).next().map(ToString::to_string);
        let mut forwards = server.addresses("forward").map(ToString::to_string);
        let [http, digest] = [forwards.next(), forwards.next()].map(Option::unwrap_or_default);
        let (agents, admin) = (first("agents"), first("admin").unwrap_or_default());
        drop(forwards);
        let agent_plan = agent_plan(&agents.unwrap_or_default())?;
        let agent = RunningAgent::start(&agent_plan).await?;
        let (agent, tasks, killed) = (Some(agent), Tasks::default(), Vec::new());
        Ok(Self { server, agent, killed, agent_plan, services, tasks, http, digest, admin })
    }

    /// Waits until the agent can be dialled.
    pub(super) async fn connected(&self) -> Result<(), StepError> {
        let connected = || !self.server.server.clients().is_empty();
        until(SETTLE, "waiting for the agent", connected).await
    }

    /// Kills the agent as the death of its process would.
    pub(super) async fn kill_agent(&mut self) -> Result<(), StepError> {
        let agent = self.agent.take().ok_or_else(|| StepError::new("there is no agent to kill"))?;
        let killing = async { Ok(agent.agent.kill().await) };
        self.killed.push(within(SETTLE, "killing the agent", killing).await?);
        Ok(())
    }

    pub(super) async fn start_agent(&mut self) -> Result<(), StepError> {
        let started = RunningAgent::start(&self.agent_plan).await;
        self.agent = Some(started.map_err(StepError::new)?);
        Ok(())
    }

    /// Bytes that both ends hold at the moment.
    pub(super) fn bytes_held(&self) -> u64 {
        let agent = self.agent.as_ref().map(|agent| agent.agent.ledger().connections);
        let server = self.server.server.ledger().connections;
        let both = std::iter::once(server).chain(agent);
        both.map(|ledger| ledger.bytes_to_send + ledger.bytes_received).sum()
    }

    /// Connections that both ends have at the moment.
    pub(super) fn live(&self) -> u64 {
        let agent = self.agent.as_ref().map(|agent| agent.agent.ledger().connections.live);
        self.server.server.ledger().connections.live + agent.unwrap_or_default()
    }

    /// Waits until no connection is left.
    pub(super) async fn quiet(&self) -> Result<(), StepError> {
        until(SETTLE, "waiting for the connections to end", || self.live() == 0).await
    }

    /// Ends everything in order.
    pub(super) async fn stop(self, signals: &mut Signals) -> Ends {
        let killed =
            self.killed.iter().map(|ledger| ("killed agent", LedgerReport::of_agent(ledger)));
        let mut agents: Vec<_> = killed.collect();
        if let Some(agent) = self.agent {
            agents.push(("agent", agent.stop(DRAIN, signals).await));
        }
        let server = self.server.stop(DRAIN, signals).await;
        // No request reaches the services any more.
        let other_tasks = self.services.tasks.wind_down(Duration::ZERO).await
            + self.tasks.wind_down(Duration::ZERO).await;
        Ends { server, agents, other_tasks }
    }
}

fn server_plan(services: &Services) -> Result<ServerPlan, Failure> {
    let mut tokens = Tokens::default();
    tokens.add(Some(KEY), TOKEN);
    let mut forwards = Vec::new();
    for service in [services.http, services.digest] {
        forwards.push(ServerForward {
            listen: any_port(),
            key: KEY.to_string(),
            target: service.to_string().parse::<DialTarget>().map_err(Failure::start)?,
        });
    }
    let admin = Some(AdminAddr(any_port()));
    Ok(ServerPlan::new(vec![any_port()], forwards, admin, TokenBook::of(tokens)))
}

fn agent_plan(server: &str) -> Result<AgentPlan, Failure> {
    let endpoint = format!("ws://{server}/connect").parse().map_err(Failure::start)?;
    let AllowSpec(pattern) = "127.0.0.1:*".parse().map_err(Failure::start)?;
    let policy = std::iter::once(pattern).collect();
    let mut plan = AgentPlan::new(endpoint, KEY.to_string(), policy);
    plan.token = Some(Arc::new(AgentToken::fixed(TOKEN)));
    // The demo does not leave this machine, even if the environment names a proxy.
    plan.proxy = Some(watertight::ProxyPolicy::None);
    Ok(plan)
}

fn any_port() -> ListenAddr {
    ListenAddr::Tcp("127.0.0.1:0".to_string())
}
