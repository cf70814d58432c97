use serde_json::{Value, json};
use watertight::{AgentStatus, IncomingPeerInfo, PeerInfo, Server};

use super::clients::dialect;

/// The peers and how things stand with them, as JSON.
pub(super) fn list(server: &Server) -> String {
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
