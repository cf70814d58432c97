use serde_json::{Value, json};
use watertight::core::wire::Dialect;
use watertight::{ClientInfo, Server};

use crate::books::{Books, connections_json};

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
