use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::HOST;
use http::uri::Authority;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{Answer, only_get, text, typed};
use super::{State, clients, proxy};

/// A connection's place among those that may be open. It goes with the connection if that is
/// upgraded.
pub(super) type Slot = Arc<Option<OwnedSemaphorePermit>>;

const INDEX: &str = "\
/healthz                            ok, or 503 while the server drains
/metrics                            metrics for Prometheus
/clients                            connected agents and the ledger, as JSON
/client/KEY/SCHEME/HOST[:PORT]/PATH HTTP to what the agent KEY can reach; SCHEME is http or https";

pub(super) async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
    slot: Slot,
) -> Result<Answer, Infallible> {
    if !is_for_this_machine(&request) {
        let reason = "the admin server answers only to localhost and loopback addresses";
        return Ok(text(StatusCode::FORBIDDEN, reason));
    }
    if request.uri().path().starts_with(proxy::PREFIX) {
        return Ok(proxy::answer(&state, request, slot).await);
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        "/" | "/healthz" | "/metrics" | "/clients" if !reads => only_get(),
        "/" => text(StatusCode::OK, INDEX),
        "/healthz" => health(&state),
        "/metrics" => typed(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            state.metrics.render(),
        ),
        "/clients" => typed(StatusCode::OK, "application/json", clients::list(&state.server)),
        _ => text(StatusCode::NOT_FOUND, &format!("nothing here; there is\n{INDEX}")),
    })
}

/// A page in a browser on this machine can have a name of its own resolve to a loopback address
/// (DNS rebinding); the Host that the browser sends gives it away.
fn is_for_this_machine(request: &Request<Incoming>) -> bool {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = request.uri().authority().map(Authority::as_str).or(header) else {
        return true;
    };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn health(state: &State) -> Answer {
    if state.draining.load(Ordering::Relaxed) {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        text(StatusCode::OK, "ok")
    }
}
