use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{Answer, only, text, typed};
use super::client::Client;
use super::proxy::To;
use super::slots::served;
use super::{State, clients, guard, peers, proxy};

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
        path if path.starts_with(clients::PREFIX) => clients::one(state, &request),
        "/clients" => typed(StatusCode::OK, "application/json", clients::list(&state.server)),
        "/peers" => typed(StatusCode::OK, "application/json", peers::list(&state.server)),
        _ => text(StatusCode::NOT_FOUND, &format!("nothing here; there is\n{INDEX}")),
    }
}

/// What somebody at a browser can do instead of `/client/…`.
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
