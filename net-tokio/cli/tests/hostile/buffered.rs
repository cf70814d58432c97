//! Ends that make the program hold as many bytes as they can, on many connections at once. It keeps
//! within `--max-buffered`, logs that, and serves the others.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use watertight::{Agent, Server, TunnelStream};

use crate::processes::{
    KEY, PATIENCE, TOKEN, Target, Tunnel, Watertight, eventually, get, in_time,
};
use crate::session::{connect, framed, join, kind, message, settings};

/// Connections of an attacker.
const CONNECTIONS: i64 = 300;

/// The log line about a connection or session that had to end.
const TEXT: &str = "this end holds more bytes than it may";

/// Bytes that a session may receive before its ledger is checked.
const TURN: u64 = 512 << 10;

async fn pour(mut stream: TunnelStream) {
    while stream.write_all(&[7; 16 << 10]).await.is_ok() {}
}

/// What all sessions of a server hold, as its metrics have it.
async fn held(server: &Watertight) -> u64 {
    let metrics = get(server.admin(), "/metrics").await.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("watertight_buffered_bytes "));
    line.unwrap().parse().unwrap()
}

/// Waits until the server has ended something, and demands that it never holds more than it may.
async fn sheds(server: &Watertight, max: u64) {
    eventually(PATIENCE, "less", async || {
        let held = held(server).await;
        assert!(held <= max, "{held} bytes");
        if server.log().contains(TEXT) { Ok(()) } else { Err(format!("{held} bytes")) }
    })
    .await;
}

#[tokio::test]
async fn s10_agents_that_send_what_nobody_reads_make_the_server_hold_no_more_than_it_may() {
    let (deaf, echo) = (Target::deaf().await, Target::echo().await);
    let allow = deaf.at.to_string();
    let limits = ["--max-buffered", "4MiB", "--allow-dial", &allow];
    let tunnel = Tunnel::by("tcp").server(limits).forward(echo.at).start().await;
    let mut witness = tunnel.witness(echo.at).await;
    let url = format!("tcp://{}", tunnel.server.address("agents"));
    let mut attackers = Vec::new();
    let mut pouring = JoinSet::new();
    for key in ["a", "b", "c"] {
        let agent = Agent::builder(url.parse().unwrap(), key).token(TOKEN).start();
        in_time("a session", agent.connected()).await.unwrap();
        for _ in 0..CONNECTIONS / 3 {
            // It may be the first one that has to go.
            if let Ok(stream) = agent.dial(&format!("tcp/{}", deaf.at)).await {
                pouring.spawn(pour(stream));
            }
        }
        attackers.push(agent);
    }
    sheds(&tunnel.server, (4 << 20) + 4 * TURN).await;
    witness.is_undisturbed().await;
    for attacker in attackers {
        attacker.kill().await;
    }
    drop(pouring);
    witness.end().await;
    tunnel.end().await;
}

#[tokio::test]
async fn s10_an_agent_that_reads_nothing_loses_its_session() {
    let (flood, echo) = (Target::pour(u64::MAX).await, Target::echo().await);
    let allow = flood.at.to_string();
    let limits = ["--max-buffered", "1MiB", "--allow-dial", &allow];
    let tunnel = Tunnel::by("tcp").server(limits).forward(echo.at).start().await;
    let mut witness = tunnel.witness(echo.at).await;
    let mut socket = join(tunnel.server.address("agents"), "deaf").await;
    socket.write_all(&framed(&[settings()])).await.unwrap();
    for number in 0..CONNECTIONS {
        let id = 1 + 2 * number;
        let all =
            [connect(id, &format!("tcp/{}", flood.at)), message(id, kind::CREDIT, &[1 << 30], b"")];
        if socket.write_all(&framed(&all)).await.is_err() {
            break;
        }
    }
    sheds(&tunnel.server, (1 << 20) + 2 * TURN).await;
    tunnel.server.logs(r#""ended":"the session""#).await;
    witness.is_undisturbed().await;
    witness.end().await;
    tunnel.end().await;
}

#[tokio::test]
async fn s10_a_server_that_sends_what_nobody_reads_makes_the_agent_hold_no_more_than_it_may() {
    let deaf = Target::deaf().await;
    let server = Server::builder(|request| async move { Ok(request.client_key.unwrap()) }).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    server.listen(listener, None);
    let allow = SocketAddr::to_string(&deaf.at);
    let args = ["agent", "--connect", &url, "--key", KEY, "--allow", &allow];
    let agent = Watertight::start(args.iter().chain(&["--max-buffered", "2MiB"])).await;
    let mut pouring = JoinSet::new();
    for _ in 0..CONNECTIONS {
        if let Ok(stream) = server.dial(KEY, &format!("tcp/{}", deaf.at)).await {
            pouring.spawn(pour(stream));
        }
    }
    agent.logs(TEXT).await;
    // It continues until hardly anything is left that holds bytes.
    eventually(PATIENCE, "resets", async || {
        let reset = server.ledger().connections.removed.total();
        if reset > 200 { Ok(()) } else { Err(format!("{reset}")) }
    })
    .await;
    let peak = agent.peak();
    assert!(peak < 32 << 20, "{peak} bytes");
    drop(pouring);
    agent.terminate().await.is_settled();
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}
