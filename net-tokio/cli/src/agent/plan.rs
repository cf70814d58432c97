use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use tracing::warn;
use watertight::core::{ReconnectConfig, SessionConfig};
use watertight::{ClientTls, Endpoint, Keepalive, Policy, ProxyPolicy};

use crate::allow_spec::policy;
use crate::cli::AgentOptions;
use crate::failure::Failure;
use crate::forward_spec::AgentForward;
use crate::header_spec::HeaderSpec;
use crate::max_buffered::MaxBuffered;
use crate::session_config::session_config;
use crate::signals::DRAIN_TIMEOUT;
use crate::tls;
use crate::tokens::AgentToken;

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
