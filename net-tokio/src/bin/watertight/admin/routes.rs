use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{Answer, only_get, text, typed};
use super::client::Client;
use super::{State, clients, guard, peers, proxy};

const INDEX: &str = "\
/healthz                              ok, or 503 while the server drains
/metrics                              metrics for Prometheus
/clients                              connected agents and the ledger, as JSON
/peers                                other servers and how things stand with them, as JSON
/client/{key}/{scheme}/{host}/{path}  HTTP to what the agent with this key can reach; the scheme is
                                      http or https, and the host may have a port";

pub(super) async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
    client: Client,
) -> Result<Answer, Infallible> {
    if let Some(reason) = guard::refusal(&request).filter(|_| state.guarded) {
        return Ok(text(StatusCode::FORBIDDEN, &reason));
    }
    if request.uri().path().starts_with(proxy::PREFIX) {
        return Ok(proxy::answer(&state, request, client).await);
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        "/" | "/healthz" | "/metrics" | "/clients" | "/peers" if !reads => only_get(),
        "/" => text(StatusCode::OK, INDEX),
        "/healthz" => health(&state),
        "/metrics" => typed(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            state.metrics.render(),
        ),
        "/clients" => typed(StatusCode::OK, "application/json", clients::list(&state.server)),
        "/peers" => typed(StatusCode::OK, "application/json", peers::list(&state.server)),
        _ => text(StatusCode::NOT_FOUND, &format!("nothing here; there is\n{INDEX}")),
    })
}

fn health(state: &State) -> Answer {
    if state.draining.load(Ordering::Relaxed) {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else {
        text(StatusCode::OK, "ok")
    }
}
