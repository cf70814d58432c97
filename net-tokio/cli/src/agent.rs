//! `watertight agent`

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use watertight::proto::{ReconnectConfig, SessionConfig};
use watertight::tls::ClientTls;
use watertight::{Agent, Endpoint, Forward, Keepalive, Policy, ProxyPolicy};

use crate::bind::{Binder, Bound};
use crate::cli::AgentOptions;
use crate::failure::Failure;
use crate::ledger::{LedgerReport, Output};
use crate::process::{DRAIN_TIMEOUT, Signals};
use crate::specs::{AgentForward, HeaderSpec, ListenAddr, MaxBuffered, policy, session_config};
use crate::tls;
use crate::tokens::AgentToken;
use crate::unix_socket::SocketFile;

/// Runs an agent until a signal ends it, and returns its ledger.
pub(crate) async fn run(options: AgentOptions, output: Output) -> Result<LedgerReport, Failure> {
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
            // An agent reads its files before each connection.
            _ = hangup.recv() => info!("token and certificate files are read before the next connection"),
            Ok(()) = agent.agent.connected(), if !ready => {
                output.ready();
                ready = true;
            }
        }
    }
}

/// What an agent is started with: options that make sense, files that were read.
#[derive(Debug)]
pub(crate) struct AgentPlan {
    pub(crate) endpoint: Endpoint,
    pub(crate) key: String,
    pub(crate) token: Option<Arc<AgentToken>>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) policy: Policy,
    pub(crate) tls: Option<ClientTls>,
    pub(crate) proxy: Option<ProxyPolicy>,
    pub(crate) forwards: Vec<AgentForward>,
    pub(crate) session: SessionConfig,
    pub(crate) max_buffered: MaxBuffered,
    pub(crate) extended_only: bool,
    pub(crate) keepalive: Keepalive,
    pub(crate) reconnect: ReconnectConfig,
    pub(crate) drain_timeout: Duration,
}

impl AgentPlan {
    pub(crate) fn of(options: AgentOptions) -> Result<Self, Failure> {
        let connect = options.connect.ok_or_else(|| {
            Failure::configuration(
                "no server to connect to: give --connect URL, such as \
                 --connect wss://tunnel.example.com/connect",
            )
        })?;
        let endpoint: Endpoint = connect.read("--connect")?;
        let policy = policy(options.allow, options.resolve_names);
        if policy.is_empty() && options.forward.is_empty() {
            warn!("the server may dial nothing here: permit targets with --allow PATTERN");
        }
        if (options.ca.is_some() || options.client_cert.is_some()) && !is_over_tls(&endpoint) {
            return Err(Failure::configuration(format_args!(
                "--ca and --client-cert are for TLS, which {endpoint} goes without: --connect to \
                 wss:// or tls://"
            )));
        }
        let proxy = options.proxy.map(|proxy| proxy.read()).transpose();
        let proxy =
            proxy.map_err(|error| Failure::configuration(format_args!("--proxy: {error}")))?;
        let names_proxy = proxy.as_ref().is_some_and(|proxy| *proxy != ProxyPolicy::None);
        if names_proxy && !is_web_socket(&endpoint) {
            return Err(Failure::configuration(format_args!(
                "--proxy is for WebSockets, and {endpoint} goes past it: --connect to ws:// or wss://"
            )));
        }
        if !options.header.is_empty() && !is_web_socket(&endpoint) {
            return Err(Failure::configuration(format_args!(
                "--header is for the upgrade to a WebSocket, which {endpoint} goes without: \
                 --connect to ws:// or wss://"
            )));
        }
        let headers = headers(&options.header)?;
        if options.token_file.is_some() && headers.iter().any(|(name, _)| name == AUTHORIZATION) {
            return Err(Failure::configuration(
                "--header Authorization and --token-file set the same header: give one of them",
            ));
        }
        Ok(Self {
            token: options.token_file.map(AgentToken::of_file).transpose()?.map(Arc::new),
            headers,
            tls: tls::of_client(
                options.ca,
                options.client_cert,
                options.client_key,
                ["--client-cert", "--client-key"],
            )?,
            proxy,
            forwards: options.forward,
            session: session_config(options.max_connections, options.silence),
            max_buffered: options.max_buffered.unwrap_or(MaxBuffered::OF_AGENT),
            extended_only: options.extended_only == Some(true),
            keepalive: options.keepalive.map(|spec| spec.0).unwrap_or_default(),
            reconnect: reconnect(options.reconnect_spread),
            drain_timeout: options.drain_timeout.unwrap_or(DRAIN_TIMEOUT),
            ..Self::new(endpoint, key(options.key)?, policy)
        })
    }

    /// A plan with the defaults for everything else.
    pub(crate) fn new(endpoint: Endpoint, key: String, policy: Policy) -> Self {
        Self {
            endpoint,
            key,
            token: None,
            headers: Vec::new(),
            policy,
            tls: None,
            proxy: None,
            forwards: Vec::new(),
            session: SessionConfig::default(),
            max_buffered: MaxBuffered::OF_AGENT,
            extended_only: false,
            keepalive: Keepalive::default(),
            reconnect: ReconnectConfig::default(),
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

fn reconnect(spread: Option<Duration>) -> ReconnectConfig {
    let default = ReconnectConfig::default();
    ReconnectConfig { spread: spread.unwrap_or(default.spread), ..default }
}

fn headers(specs: &[HeaderSpec]) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let read = |spec: &HeaderSpec| {
        spec.read().map_err(|error| Failure::configuration(format_args!("--header: {error}")))
    };
    specs.iter().map(read).collect()
}

fn is_web_socket(endpoint: &Endpoint) -> bool {
    let url = endpoint.to_string();
    url.starts_with("ws:") || url.starts_with("wss:")
}

fn is_over_tls(endpoint: &Endpoint) -> bool {
    let url = endpoint.to_string();
    url.starts_with("wss:") || url.starts_with("tls:")
}

fn key(key: Option<String>) -> Result<String, Failure> {
    let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
        Failure::configuration(
            "no client key: give --key KEY, the name under which the server dials this agent",
        )
    })?;
    if key.trim() != key || key.chars().any(char::is_control) {
        return Err(Failure::configuration(format_args!(
            "--key {key:?} has blanks at its ends or control characters: leave them out"
        )));
    }
    Ok(key)
}

/// An agent with its forwards.
#[derive(Debug)]
pub(crate) struct RunningAgent {
    pub(crate) agent: Agent,
    /// A forward ends when its handle is dropped.
    _forwards: Vec<Forward>,
    addresses: Vec<(String, ListenAddr)>,
    _files: Vec<SocketFile>,
}

impl RunningAgent {
    pub(crate) async fn start(plan: &AgentPlan) -> Result<Self, Failure> {
        let binder = Binder::of(plan.forwards.iter().map(|forward| &forward.listen));
        let (mut sockets, mut policy) = (Vec::new(), plan.policy.clone());
        for forward in &plan.forwards {
            for bound in binder.bind(&forward.listen, "--forward").await? {
                bound.exclude_from(&mut policy)?;
                sockets.push((forward, bound));
            }
        }
        let mut running = Self {
            agent: start(plan, policy),
            _forwards: Vec::new(),
            addresses: Vec::new(),
            _files: Vec::new(),
        };
        for (forward, bound) in sockets {
            let Bound { listener, address, file } = bound;
            let target = forward.target.to_string();
            running._forwards.push(running.agent.forward(listener, &target));
            running.addresses.push((format!("forward {target}"), address));
            running._files.extend(file);
        }
        Ok(running)
    }

    pub(crate) fn announce(&self, output: Output) {
        for (purpose, address) in &self.addresses {
            info!(%address, purpose, "listening");
            output.listening(purpose, &address.to_string());
        }
    }

    /// Drains, for `drain_timeout` at most or until another signal, and returns the ledger.
    pub(crate) async fn stop(self, drain_timeout: Duration, signals: &mut Signals) -> LedgerReport {
        let drain = self.agent.clone().shutdown(drain_timeout);
        let close = self.agent.shutdown(Duration::ZERO);
        LedgerReport::of_agent(&signals.drain_or_close(drain, close).await)
    }
}

fn start(plan: &AgentPlan, policy: Policy) -> Agent {
    let builder = Agent::builder(plan.endpoint.clone(), &plan.key).policy(policy);
    let builder = builder.session(plan.session.clone()).keepalive(plan.keepalive);
    let builder = builder.reconnect(plan.reconnect).buffers(plan.max_buffered.buffers());
    let builder = if plan.extended_only { builder.extended_only() } else { builder };
    let builder = plan
        .headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(name.clone(), value.clone()));
    let builder = match &plan.token {
        Some(token) => {
            let token = Arc::clone(token);
            builder.token_with(move || token.current())
        }
        None => builder,
    };
    let builder = match &plan.tls {
        Some(tls) => builder.tls(tls.clone()),
        None => builder,
    };
    match &plan.proxy {
        Some(proxy) => builder.proxy(proxy.clone()).start(),
        None => builder.start(),
    }
}
