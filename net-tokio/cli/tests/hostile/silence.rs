//! Sockets at the agents' port of the built program that send nothing, or too little.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::processes::{PATIENCE, Tunnel, Watertight, eventually, get, in_time};

/// Silent sockets that one address opens, many more than may wait.
const SILENT: usize = 200;

/// A series of a server's metrics; 0 before it is first seen.
async fn metric(server: &Watertight, series: &str) -> u64 {
    let metrics = get(server.admin(), "/metrics").await.body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

async fn handshakes(server: &Watertight, expected: u64) {
    eventually(PATIENCE, "the handshakes", async || {
        let handshakes = metric(server, "watertight_handshakes").await;
        if handshakes == expected { Ok(()) } else { Err(format!("{handshakes}")) }
    })
    .await;
}

async fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    in_time("a connection", socket.connect(to)).await.unwrap()
}

#[tokio::test]
async fn s1_silent_sockets_are_bounded_told_of_and_closed_and_keep_no_agent_out() {
    let limits = ["--max-handshakes", "4", "--handshake-timeout", "1h"];
    let tunnel = Tunnel::by("ws").server(limits).start().await;
    let to = tunnel.server.address("agents");
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(connect_from([127, 1, 0, 1], to).await);
    }
    let refused = async |reason: &str| {
        let series = format!("watertight_handshakes_refused{{reason=\"{reason}\"}}");
        metric(&tunnel.server, &series).await
    };
    eventually(PATIENCE, "too many", async || {
        let crowded = refused("crowded").await;
        // Four times as many wait as may run, and not one of them has sent anything. Some may go in time.
        if crowded >= SILENT as u64 / 2 { Ok(()) } else { Err(format!("{crowded}")) }
    })
    .await;

    let log = tunnel.server.log();
    let line = log.lines().find(|line| line.contains("too many sockets are no sessions yet"));
    let line: Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["level"], "WARN");
    assert!(line.to_string().contains("127.1.0.1"), "{line}");

    // Who comes now gets in.
    let tunnel = tunnel.replace_agent(async |_| {}).await;

    // The last ones have their time for a first byte, and then go without being pressed.
    for socket in &mut silent {
        let end = in_time("the end of a silent socket", socket.read(&mut [0])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    handshakes(&tunnel.server, 0).await;
    tunnel.end().await;
}

#[tokio::test]
async fn s1_a_greeting_that_stops_has_a_deadline_and_its_place_is_seen() {
    let limits = ["--max-handshakes", "4", "--handshake-timeout", "2s"];
    let tunnel = Tunnel::by("ws").server(limits).start().await;
    let mut socket = connect_from([127, 1, 0, 1], tunnel.server.address("agents")).await;
    handshakes(&tunnel.server, 1).await;
    socket.write_all(b"GET /connect HTTP/1.1\r\n").await.unwrap();
    in_time("the end of a greeting", socket.read(&mut [0])).await.ok();
    handshakes(&tunnel.server, 0).await;
    tunnel.end().await;
}
