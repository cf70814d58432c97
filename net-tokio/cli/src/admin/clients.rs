use http::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use watertight::core::wire::Dialect;
use watertight::{ClientInfo, Server};

use super::answer::{Answer, only, text, typed};
use super::{State, guard};
use crate::books::{Books, connections_json};

/// What the paths of single clients begin with.
pub(super) const PREFIX: &str = "/clients/";

/// One client: what is known of it, or, for DELETE, the end of its sessions. Its agent comes back unless
/// it is not let in any more.
pub(super) fn one<B>(state: &State, request: &Request<B>) -> Answer {
    let key = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
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
pub(super) fn list(server: &Server) -> String {
    let clients: Vec<Value> = server.clients().iter().map(client).collect();
    let server = Books::of_server(&server.ledger(), 0).figures();
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

pub(super) fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Extended => "watertight",
        Dialect::Base => "remotedialer",
    }
}
