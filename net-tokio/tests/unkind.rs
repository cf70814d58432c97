//! Sockets and links as kernels have them: slow, reset, closed. N2 to N6 of the list of bugs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use watertight::proto::SessionConfig;
use watertight::{Listener, Server};

use support::{KEY, Target, Tunnel, agent, in_time, listen, server, until};

/// A target whose queue of connections is full, so that a dial hangs.
struct Hanging {
    at: SocketAddr,
    _listener: std::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Hanging {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let at = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await
        {
            waiting.push(connected.unwrap());
        }
        Self { at, _listener: listener, _waiting: waiting }
    }

    fn target(&self) -> String {
        format!("tcp/{}", self.at)
    }
}

async fn forward(server: &Server, target: &str) -> (SocketAddr, watertight::Forward) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (at, server.forward(Listener::Tcp(listener), KEY, target))
}

fn opening(server: &Server) -> u64 {
    server.ledger().connections.outbound_dials
}

#[tokio::test]
async fn n6_clients_that_leave_by_a_reset_take_their_dials_with_them() {
    let hanging = Hanging::start().await;
    let tunnel = Tunnel::start("ws").await;
    let (at, _forward) = forward(&tunnel.server, &hanging.target()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(b"request").await.unwrap();
        clients.push(client);
    }
    // A client that has only finished its request waits for the answer.
    clients[0].shutdown().await.unwrap();
    until(|| opening(&tunnel.server) == 20).await;
    for client in clients.drain(1..) {
        client.set_zero_linger().unwrap();
    }
    until(|| opening(&tunnel.server) == 1).await;
    drop(clients);
    tunnel.end().await;
}

#[tokio::test]
async fn n6_a_client_on_a_unix_socket_that_leaves_takes_its_dial_with_it() {
    let hanging = Hanging::start().await;
    let tunnel = Tunnel::start("tcp").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forward.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let _forward = tunnel.server.forward(Listener::Unix(listener), KEY, &hanging.target());
    let connect = || tokio::net::UnixStream::connect(&path);
    let (mut waits, mut leaves) = (connect().await.unwrap(), connect().await.unwrap());
    for client in [&mut waits, &mut leaves] {
        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
    }
    until(|| opening(&tunnel.server) == 2).await;
    drop(leaves);
    until(|| opening(&tunnel.server) == 1).await;
    // The other one has only finished its request, and waits for the answer.
    drop(waits);
    until(|| opening(&tunnel.server) == 0).await;
    tunnel.end().await;
}

#[tokio::test]
async fn n6_a_target_that_hangs_does_not_close_the_agent_for_others() {
    let (hanging, echo) = (Hanging::start().await, Target::echo().await);
    let mut config = SessionConfig::default();
    config.limits.max_dials = 100;
    let tunnel = Tunnel::with(server().session(config), |agent| agent, "ws").await;
    let (at, _forward) = forward(&tunnel.server, &hanging.target()).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.extend(TcpStream::connect(at).await);
    }
    until(|| opening(&tunnel.server) == 50).await;
    let mut stream = in_time(tunnel.server.dial(KEY, &echo.target())).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    in_time(stream.read_exact(&mut [0; 5])).await.unwrap();
    let error = tunnel.server.dial(KEY, &hanging.target()).await.unwrap_err();
    assert!(error.to_string().contains("50 dials of this target"), "{error}");
    drop((stream, clients));
    tunnel.end().await;
}

/// A link that always reads, at `rate` bytes a second toward the server, and without a limit in the
/// other direction.
async fn slow_link(to: SocketAddr, rate: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (agent, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(to).await.unwrap();
        let ((mut from_agent, mut to_agent), (mut from_server, mut to_server)) =
            (agent.into_split(), server.into_split());
        tokio::spawn(async move {
            let mut piece = vec![0; rate / 20];
            while let Ok(read @ 1..) = from_agent.read(&mut piece).await {
                if to_server.write_all(&piece[..read]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        tokio::io::copy(&mut from_server, &mut to_agent).await.ok();
    });
    at
}

/// The agent uploads through a link on which a third of its socket's queue takes longer than its
/// timeout.
async fn uploads(scheme: &str, agents: SessionConfig, servers: SessionConfig) {
    let mut servers = servers;
    // Everything is in the kernel's queue.
    servers.limits.initial_window = 16 << 20;
    let server = server().session(servers).build();
    let link = slow_link(listen(&server).await, 1_200_000).await;
    let agent = agent(scheme, link, KEY).session(agents);
    let agent = agent
        .dial_handler(|dial| async move {
            let Ok(mut stream) = dial.accept() else { return };
            stream.write_all(&vec![7; 6_000_000]).await.ok();
            stream.shutdown().await.ok();
        })
        .start();
    in_time(agent.connected()).await.unwrap();
    until(|| !server.clients().is_empty()).await;
    let mut stream = in_time(server.dial(KEY, "upload")).await.unwrap();
    let mut received = Vec::new();
    in_time(stream.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 6_000_000);
    drop(stream);
    in_time(agent.shutdown(Duration::from_secs(5))).await;
    in_time(server.shutdown(Duration::from_secs(5))).await;
}

#[tokio::test]
async fn n3_a_slow_link_is_not_a_stalled_one() {
    for scheme in ["ws", "tcp"] {
        let mut config = SessionConfig::default();
        (config.timing.stall, config.timing.ping_interval) =
            (Duration::from_millis(600), Duration::from_millis(100));
        uploads(scheme, config.clone(), config).await;
    }
}

#[tokio::test]
async fn n4_an_end_with_a_short_silence_outlives_its_own_upload() {
    let mut agents = SessionConfig::default();
    agents.timing.silence = Duration::from_millis(600);
    uploads("ws", agents, SessionConfig::default()).await;
}
