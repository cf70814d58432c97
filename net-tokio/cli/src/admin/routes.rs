//! The resources of the admin server: health, metrics, clients and peers.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watertight::peering::{IncomingPeerInfo, PeerInfo};
use watertight::proto::wire::Dialect;
use watertight::{AgentStatus, ClientInfo, Server};

use super::answer::{Answer, only, text, typed};
use super::client::Client;
use super::proxy::To;
use super::slots::served;
use super::{State, guard, proxy};
use crate::failure::Failure;
use crate::ledger::{LedgerReport, connections_json};

const INDEX: &str = "\
/healthz                              ok, or 503 while the server drains
/metrics                              metrics for Prometheus
/clients                              connected agents and the ledger, as JSON
/clients/{key}                        one of them; DELETE ends its sessions
/peers                                other servers and how things stand with them, as JSON
/client/{key}/{scheme}/{host}/{path}  HTTP to what the agent with this key can reach; the scheme is
                                      http or https, and the host may have a port";

pub(super) async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
    client: Client,
) -> Result<Answer, Infallible> {
    let slot = Arc::clone(client.slot());
    slot.serves();
    Ok(served(route(&state, request, client).await, slot))
}

async fn route(state: &Arc<State>, request: Request<Incoming>, client: Client) -> Answer {
    if let Some(reason) = guard::refusal(&request, state.pages).filter(|_| state.guarded) {
        return text(StatusCode::FORBIDDEN, &reason);
    }
    if let Some(page) = guard::page(&request).filter(|_| state.pages) {
        return proxy::answer(state, To::Page(&page), request, client).await;
    }
    if request.uri().path().starts_with(proxy::PREFIX) {
        if let Some(reason) = guard::browser_refusal(request.headers()) {
            let advice = advice(state, &request);
            return text(StatusCode::FORBIDDEN, &format!("{reason}. {advice}"));
        }
        return proxy::answer(state, To::Path, request, client).await;
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/" | "/healthz" | "/metrics" | "/clients" | "/peers" if !reads => only("GET, HEAD"),
        "/" => text(StatusCode::OK, INDEX),
        "/healthz" => health(state),
        "/metrics" => typed(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            state.metrics.render(),
        ),
        path if path.starts_with(CLIENT_PREFIX) => one_client(state, &request),
        "/clients" => typed(StatusCode::OK, "application/json", clients(&state.server)),
        "/peers" => typed(StatusCode::OK, "application/json", peers(&state.server)),
        _ => text(StatusCode::NOT_FOUND, &format!("nothing here; there is\n{INDEX}")),
    }
}

/// The alternatives to `/client/…` for a browser's user.
fn advice(state: &State, request: &Request<Incoming>) -> String {
    let page = guard::host(request).and_then(|host| proxy::page_of(request.uri(), host));
    match page.filter(|_| state.pages) {
        Some(page) => format!("Open {page}"),
        None => "Give what you want to look at a port of its own with --forward, or start the \
                 server with --admin-pages"
            .to_string(),
    }
}

fn health(state: &State) -> Answer {
    if state.draining.load(Ordering::Relaxed) {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        text(StatusCode::OK, "ok")
    }
}

/// The prefix of the paths of single clients.
const CLIENT_PREFIX: &str = "/clients/";

/// The state of one client or, for DELETE, the end of its sessions. Its agent connects again unless it is
/// refused.
fn one_client<B>(state: &State, request: &Request<B>) -> Answer {
    let key = request.uri().path().strip_prefix(CLIENT_PREFIX).unwrap_or_default();
    let Ok(key) = percent_decode_str(key).decode_utf8() else {
        return text(StatusCode::BAD_REQUEST, "the client key is not UTF-8");
    };
    let unknown = || text(StatusCode::NOT_FOUND, &format!("client {key:?} is not connected here"));
    match *request.method() {
        Method::GET | Method::HEAD => match state.server.client(&key) {
            Some(info) => typed(StatusCode::OK, "application/json", format!("{}\n", client(&info))),
            None => unknown(),
        },
        Method::DELETE if guard::is_of_browser(request.headers()) => {
            text(StatusCode::FORBIDDEN, "no page may end sessions")
        }
        Method::DELETE => match state.server.disconnect(&key, "ended by the operator") {
            true => text(StatusCode::OK, &format!("the sessions of client {key:?} are ended")),
            false => unknown(),
        },
        _ => only("GET, HEAD, DELETE"),
    }
}

/// The connected clients and the server's own ledger, as JSON.
fn clients(server: &Server) -> String {
    let clients: Vec<Value> = server.clients().iter().map(client).collect();
    let server = LedgerReport::of_server(&server.ledger(), 0).figures();
    let mut list = json!({ "clients": clients, "server": server }).to_string();
    list.push('\n');
    list
}

fn client(info: &ClientInfo) -> Value {
    json!({
        "key": info.key,
        "session": info.session.to_string(),
        "going_away": info.going_away,
        "remote": info.remote.map(|remote| remote.to_string()),
        "identity": info.identity,
        "dialect": dialect(info.dialect),
        "connected_seconds": info.connected_for.as_secs_f64(),
        "rtt_seconds": info.rtt.map(|rtt| rtt.as_secs_f64()),
        "ledger": connections_json(&info.ledger),
    })
}

fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Extended => "watertight",
        Dialect::Base => "remotedialer",
    }
}

/// The peers and how things stand with them, as JSON.
fn peers(server: &Server) -> String {
    let peers: Vec<Value> = server.peers().iter().map(peer).collect();
    let mut list = json!({ "peers": peers }).to_string();
    list.push('\n');
    list
}

fn peer(info: &PeerInfo) -> Value {
    json!({
        "id": info.id,
        "endpoint": info.endpoint.to_string(),
        "address": info.address.map(|address| address.to_string()),
        "outgoing": outgoing(&info.outgoing),
        "incoming": info.incoming.as_ref().map(incoming),
        "routes": info.routes,
    })
}

fn outgoing(status: &AgentStatus) -> Value {
    match status {
        AgentStatus::Connected { dialect: spoken } => {
            json!({ "state": "connected", "dialect": dialect(*spoken) })
        }
        AgentStatus::Waiting { retry_in, reason } => json!({
            "state": "waiting",
            "retry_in_seconds": retry_in.as_secs_f64(),
            "reason": reason.to_string(),
        }),
        AgentStatus::Connecting => json!({ "state": "connecting" }),
        _ => json!({ "state": "stopped" }),
    }
}

fn incoming(info: &IncomingPeerInfo) -> Value {
    json!({
        "session": info.session.to_string(),
        "going_away": info.going_away,
        "remote": info.remote.map(|remote| remote.to_string()),
        "dialect": dialect(info.dialect),
        "connected_seconds": info.connected_for.as_secs_f64(),
        "rtt_seconds": info.rtt.map(|rtt| rtt.as_secs_f64()),
    })
}

const ROUND_TRIP: &str = "watertight_round_trip_seconds";

/// From loopback to another continent and a satellite.
const ROUND_TRIP_BUCKETS: [f64; 11] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// How often recorded values are taken into their buckets. Until then each one is kept.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Metrics(PrometheusHandle);

/// A process has one recorder.
static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();

impl Metrics {
    /// Installs the recorder, unless it is installed already.
    pub(super) fn install() -> Result<Self, Failure> {
        if let Some(handle) = INSTALLED.get() {
            return Ok(Self(handle.clone()));
        }
        let handle = install()
            .map_err(|error| Failure::start(format_args!("cannot record metrics: {error}")))?;
        watertight::metrics::describe();
        Ok(Self(INSTALLED.get_or_init(|| handle).clone()))
    }

    pub(super) fn render(&self) -> String {
        self.0.render()
    }
}

fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(ROUND_TRIP.into()), &ROUND_TRIP_BUCKETS)?
        .install_recorder()
}

/// Takes recorded values into their buckets until `stop`, even without requests for them.
pub(super) async fn keep_up(metrics: Metrics, stop: CancellationToken) {
    let mut interval = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = interval.tick() => metrics.0.run_upkeep(),
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
