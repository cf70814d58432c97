//! Server and agent with real sockets between them, as an embedder uses them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::future::{Ready, pending, ready};
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use http::{Request, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower_service::Service;
use watertight::proto::registry::RegistryLimits;
use watertight::proto::wire::{Dialect, GoAwayCode, Hello, HelloReply, ResetCode};
use watertight::proto::{SessionConfig, SessionEnd};
use watertight::{
    Agent, AgentStatus, ConnectError, DialError, Incoming, Listener, Policy, Refusal, Server,
    ServerEvent, WaitReason,
};

use support::{KEY, TOKEN, Target, Tunnel, agent, in_time, listen, loopback, server, until};

async fn echoes(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"hello");
}

#[tokio::test]
async fn a_request_comes_back_over_each_transport() {
    let target = Target::echo().await;
    for scheme in ["ws", "tcp"] {
        let tunnel = Tunnel::start(scheme).await;
        echoes(tunnel.server.dial(KEY, &target.target()).await.unwrap()).await;
        assert_eq!(tunnel.server.clients()[0].dialect, Dialect::Extended);
        tunnel.end().await;
    }
}

#[tokio::test]
async fn two_watertight_ends_speak_the_base_dialect_if_configured() {
    let target = Target::echo().await;
    let tunnel = Tunnel::with(server(), |agent| agent.base_dialect(), "ws").await;
    assert_eq!(tunnel.server.clients()[0].dialect, Dialect::Base);
    let stream = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    echoes(stream).await;
    tunnel.end().await;
}

#[tokio::test]
async fn an_answer_after_end_of_file_arrives() {
    let target = Target::count().await;
    for scheme in ["ws", "tcp"] {
        let tunnel = Tunnel::start(scheme).await;
        let mut stream = tunnel.server.dial(KEY, &target.target()).await.unwrap();
        stream.write_all(&vec![1; 3 << 20]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        in_time(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, (3u64 << 20).to_be_bytes());
        drop(stream);
        tunnel.end().await;
    }
}

#[tokio::test]
async fn a_forbidden_target_is_refused_with_its_reason() {
    let target = Target::echo().await;
    let tunnel = Tunnel::with(server(), |agent| agent.policy(Policy::default()), "ws").await;
    let error = tunnel.server.dial(KEY, &target.target()).await.unwrap_err();
    let DialError::Refused { code, text } = error else { panic!("{error:?}") };
    assert_eq!(code, Some(ResetCode::DIAL_REFUSED));
    assert!(text.contains("not allowed"), "{text}");
    tunnel.end().await;
}

#[tokio::test]
async fn a_refused_connection_is_the_dials_error() {
    let tunnel = Tunnel::start("ws").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = tunnel.server.dial(KEY, &format!("tcp/{nobody}")).await.unwrap_err();
    assert!(matches!(error, DialError::Refused { code: Some(ResetCode::DIAL_FAILED), .. }));
    assert!(error.to_string().contains("refused"), "{error}");
    tunnel.end().await;
}

#[tokio::test]
async fn an_unknown_client_cannot_be_dialled() {
    let tunnel = Tunnel::start("ws").await;
    let error = tunnel.server.dial("nobody", "tcp/127.0.0.1:1").await.unwrap_err();
    assert_eq!(error.to_string(), "client \"nobody\" is not connected");
    tunnel.end().await;
}

/// Why the agent is not connected.
async fn reason(agent: &Agent) -> String {
    wait_reason(agent).await.to_string()
}

async fn wait_reason(agent: &Agent) -> WaitReason {
    let mut status = agent.status();
    let waiting = |status: &AgentStatus| matches!(status, AgentStatus::Waiting { .. });
    let status = in_time(status.wait_for(waiting)).await.unwrap().clone();
    let AgentStatus::Waiting { reason, .. } = status else { unreachable!() };
    reason
}

#[tokio::test]
async fn programs_distinguish_a_wrong_token_from_an_unreachable_server() {
    let server = server().build();
    let refused = agent("ws", listen(&server).await, KEY).token("wrong").start();
    let WaitReason::Connect(error) = wait_reason(&refused).await else { panic!() };
    assert!(matches!(*error, ConnectError::Refused { status: 401, .. }), "{error:?}");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let lonely = agent("ws", nobody, KEY).start();
    let WaitReason::Connect(error) = wait_reason(&lonely).await else { panic!() };
    assert!(matches!(*error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(refused.shutdown(Duration::ZERO).await.is_settled());
    assert!(lonely.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_stream_that_ends_during_the_handshake_is_no_fault_of_tls() {
    for endpoint in ["wss://in.memory", "tcp://in.memory:1"] {
        let connect = || ready(Ok(duplex(1000).0));
        let agent = Agent::builder(endpoint.parse().unwrap(), KEY).connect_with(connect).start();
        let WaitReason::Connect(error) = wait_reason(&agent).await else { panic!() };
        assert!(!matches!(*error, ConnectError::Tls { .. }), "{error:?}");
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
}

#[tokio::test]
async fn the_agent_learns_that_its_token_is_wrong() {
    let server = server().build();
    let at = listen(&server).await;
    for scheme in ["ws", "tcp"] {
        let agent = agent(scheme, at, KEY).token("wrong").start();
        let reason = reason(&agent).await;
        assert!(reason.contains("401") && reason.contains("unknown token"), "{reason}");
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn the_newest_session_wins() {
    let target = Target::echo().await;
    let server = server().build();
    let at = listen(&server).await;
    let mut events = server.subscribe();
    let first = agent("ws", at, KEY).start();
    in_time(first.connected()).await.unwrap();
    until(|| !server.clients().is_empty()).await;
    let held = server.dial(KEY, &target.target()).await.unwrap();

    let second = agent("tcp", at, KEY).start();
    in_time(second.connected()).await.unwrap();
    let mut replaced = false;
    let mut gone = false;
    while !(replaced && gone) {
        match in_time(events.next()).await.unwrap().unwrap() {
            ServerEvent::Connected { replaced: true, .. } => replaced = true,
            ServerEvent::Disconnected { end: SessionEnd::Closed { .. }, .. } => gone = true,
            _ => {}
        }
    }
    echoes(server.dial(KEY, &target.target()).await.unwrap()).await;
    assert_eq!(server.clients().len(), 1);
    drop(held);
    assert!(first.shutdown(Duration::ZERO).await.is_settled());
    assert!(second.shutdown(Duration::ZERO).await.is_settled());
    let ledger = server.shutdown(Duration::ZERO).await;
    assert!(ledger.is_settled(), "{ledger:?}");
}

#[tokio::test]
async fn a_client_that_is_disconnected_loses_its_draining_sessions_too() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("tcp").await;
    let mut held = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    let drained = tokio::spawn(tunnel.agent.shutdown(Duration::from_secs(600)));
    until(|| tunnel.server.client(KEY).is_some_and(|client| client.going_away)).await;
    let next = agent("tcp", tunnel.at, KEY).start();
    in_time(next.connected()).await.unwrap();
    until(|| tunnel.server.client(KEY).is_some_and(|client| !client.going_away)).await;

    assert!(tunnel.server.disconnect(KEY, "no longer welcome"));
    in_time(held.read(&mut [0])).await.unwrap_err();
    drop(held);
    in_time(drained).await.unwrap();
    Tunnel { agent: next, ..tunnel }.end().await;
}

/// As in a rolling restart.
#[tokio::test]
async fn a_session_that_drains_keeps_its_connections_when_a_newer_one_comes() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("ws").await;
    let mut held = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    let drained = tokio::spawn(tunnel.agent.shutdown(Duration::from_secs(600)));
    until(|| tunnel.server.client(KEY).is_some_and(|client| client.going_away)).await;

    let next = agent("ws", tunnel.at, KEY).start();
    in_time(next.connected()).await.unwrap();
    let dialled = || async { tunnel.server.dial(KEY, &target.target()).await };
    echoes(in_time(dialled()).await.unwrap()).await;
    held.write_all(b"still here").await.unwrap();
    in_time(held.read_exact(&mut [0; 10])).await.unwrap();
    assert!(!drained.is_finished());
    echoes(held).await;
    assert!(in_time(drained).await.unwrap().is_settled());
    Tunnel { agent: next, ..tunnel }.end().await;
}

#[tokio::test]
async fn an_agent_that_dies_ends_its_connections_and_can_come_back() {
    let target = Target::pour().await;
    let tunnel = Tunnel::start("ws").await;
    let (server, at) = (tunnel.server, tunnel.at);
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(server.dial(KEY, &target.target()).await.unwrap());
    }
    drop(tunnel.agent);
    for mut stream in streams {
        let mut sink = Vec::new();
        in_time(stream.read_to_end(&mut sink)).await.unwrap_err();
    }
    let agent = agent("ws", at, KEY).start();
    in_time(agent.connected()).await.unwrap();
    until(|| !server.clients().is_empty()).await;
    let echo = Target::echo().await;
    echoes(server.dial(KEY, &echo.target()).await.unwrap()).await;
    assert!(agent.shutdown(Duration::from_secs(5)).await.is_settled());
    assert!(server.shutdown(Duration::from_secs(5)).await.is_settled());
}

#[tokio::test]
async fn a_server_that_shuts_down_lets_connections_finish() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("ws").await;
    let mut stream = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    stream.write_all(b"before").await.unwrap();
    let shutting_down = tokio::spawn(tunnel.server.clone().shutdown(Duration::from_secs(20)));
    // New dials are refused while the open connection continues.
    until(|| shutting_down.is_finished() || is_going_away(&tunnel.agent)).await;
    stream.write_all(b" and after").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = String::new();
    in_time(stream.read_to_string(&mut echoed)).await.unwrap();
    assert_eq!(echoed, "before and after");
    drop(stream);
    assert!(in_time(shutting_down).await.unwrap().is_settled());
    assert!(tunnel.agent.shutdown(Duration::ZERO).await.is_settled());
}

/// Virtual time: an hour passes at once.
#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_nothing_before_its_deadline() {
    for ends in ["server", "agent"] {
        let server = server().build();
        let handle = server.clone();
        let connect = move || {
            let (near, far) = duplex(1 << 16);
            handle.serve_io(far, None);
            ready(Ok(near))
        };
        let agent = Agent::builder("tcp://in.memory:1".parse().unwrap(), KEY).token(TOKEN);
        let agent = agent.connect_with(connect).dial_handler(|dial| async move {
            let (mut read, mut write) = tokio::io::split(dial.accept().unwrap());
            tokio::io::copy(&mut read, &mut write).await.ok();
        });
        let agent = agent.start();
        agent.connected().await.unwrap();
        let mut stream = server.dial(KEY, "echo").await.unwrap();
        assert_eq!(server.kept().streams + agent.kept().streams, 2);
        assert_eq!(server.kept().sessions, 1);
        let deadline = Duration::from_secs(2 * 3600);
        let (at_server, at_agent) = (server.clone(), agent.clone());
        let shutdown = tokio::spawn(async move {
            if ends == "server" {
                at_server.shutdown(deadline).await.is_settled()
            } else {
                at_agent.shutdown(deadline).await.is_settled()
            }
        });
        tokio::time::sleep(deadline / 2).await;
        stream.write_all(b"late").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        drop(stream);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(shutdown.is_finished(), "its last connection has ended");
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
        assert!(server.shutdown(Duration::ZERO).await.is_settled());
    }
}

fn is_going_away(agent: &Agent) -> bool {
    !matches!(*agent.status().borrow(), AgentStatus::Connected { .. })
}

#[tokio::test]
async fn agents_can_dial_through_a_server_that_lets_them() {
    let target = Target::echo().await;
    let at = target.at;
    let builder = server().dial_handler(move |key, incoming| async move {
        assert_eq!((key.as_str(), incoming.target()), (KEY, "service"));
        let socket = TcpStream::connect(at).await.unwrap();
        let mut stream = incoming.accept().unwrap();
        let mut socket = socket;
        tokio::io::copy_bidirectional(&mut stream, &mut socket).await.ok();
    });
    let tunnel = Tunnel::with(builder, |agent| agent, "ws").await;
    echoes(tunnel.agent.dial("service").await.unwrap()).await;
    tunnel.end().await;

    let tunnel = Tunnel::start("ws").await;
    let error = tunnel.agent.dial("service").await.unwrap_err();
    assert!(matches!(error, DialError::Refused { code: Some(ResetCode::DIAL_REFUSED), .. }));
    tunnel.end().await;
}

#[tokio::test]
async fn both_ends_dial_at_once_in_both_dialects() {
    for base in [false, true] {
        let target = Target::echo().await;
        let at = target.at;
        let builder = server().dial_handler(move |_, incoming| async move {
            let mut socket = TcpStream::connect(at).await.unwrap();
            let mut stream = incoming.accept().unwrap();
            tokio::io::copy_bidirectional(&mut stream, &mut socket).await.ok();
        });
        let dialect = |agent: watertight::AgentBuilder| {
            if base { agent.base_dialect() } else { agent }
        };
        let tunnel = Tunnel::with(builder, dialect, "ws").await;
        let name = target.target();
        let down = async {
            for _ in 0..50 {
                echoes(tunnel.server.dial(KEY, &name).await.unwrap()).await;
            }
        };
        let up = async {
            for _ in 0..50 {
                echoes(tunnel.agent.dial("any/thing").await.unwrap()).await;
            }
        };
        tokio::join!(down, up);
        tunnel.end().await;
    }
}

#[tokio::test]
async fn a_forward_carries_tcp_and_unix_clients() {
    let target = Target::count().await;
    let tunnel = Tunnel::start("tcp").await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = port.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = tokio::net::UnixListener::bind(&path).unwrap();
    let tcp = tunnel.server.forward(Listener::Tcp(port), KEY, &target.target());
    let unix = tunnel.server.forward(Listener::Unix(unix), KEY, &target.target());

    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(b"12345").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(in_time(client.read_u64()).await.unwrap(), 5);
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    client.write_all(b"123").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(in_time(client.read_u64()).await.unwrap(), 3);
    tunnel.end().await;
    drop((tcp, unix));
}

#[tokio::test]
async fn the_connector_reaches_a_server_by_its_uri() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("ws").await;
    let mut connector = tunnel.server.connector(KEY);
    let uri: Uri = format!("http://{}/", target.at).parse().unwrap();
    let stream = connector.call(uri).await.unwrap().into_inner();
    echoes(stream).await;
    drop(connector);
    tunnel.end().await;
}

#[tokio::test]
async fn the_service_mounts_in_axum() {
    let target = Target::echo().await;
    let server = server().build();
    let service = server.upgrade_service().remote_from(|extensions| {
        extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(remote)| *remote)
    });
    let app = axum::Router::new()
        .route("/", axum::routing::get(|| async { "the rest of the application" }))
        .route_service("/tunnel", service)
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let endpoint = format!("ws://{at}/tunnel").parse().unwrap();
    let agent = Agent::builder(endpoint, KEY).token(TOKEN).policy(loopback()).start();
    in_time(agent.connected()).await.unwrap();
    until(|| !server.clients().is_empty()).await;
    assert!(server.client(KEY).unwrap().remote.unwrap().ip().is_loopback());
    echoes(server.dial(KEY, &target.target()).await.unwrap()).await;
    assert!(agent.shutdown(Duration::from_secs(5)).await.is_settled());
    assert!(server.shutdown(Duration::from_secs(5)).await.is_settled());
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_mounted_service_limits_the_time_of_its_hook() {
    let server = Server::builder(|_| pending::<Result<String, Refusal>>()).build();
    let request = Request::get("/tunnel")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let response = server.upgrade_service().call(request.body(()).unwrap());
    assert_eq!(in_time(response).await.unwrap().status(), 503);
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// A hook that authenticates by certificate or cookie would accept any page in the browser.
#[tokio::test]
async fn a_browser_gets_no_session_even_if_the_hook_accepts_it() {
    let server = Server::builder(|_| async { Ok::<_, Refusal>("edge".to_string()) }).build();
    for (name, value) in [("origin", "null"), ("sec-fetch-mode", "websocket"), ("x-other", "a")] {
        let request = Request::get("/tunnel")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header(name, value);
        let response = server.upgrade_service().call(request.body(()).unwrap()).await.unwrap();
        assert_eq!(response.status(), if name == "x-other" { 101 } else { 403 }, "{name}");
    }
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn silent_clients_do_not_stop_the_listener() {
    let builder = server().max_handshakes(4).handshake_timeout(Duration::from_millis(200));
    let server = builder.build();
    let at = listen(&server).await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let agent = agent("ws", at, KEY).start();
    in_time(agent.connected()).await.unwrap();
    for mut socket in silent {
        // Each was closed at its deadline, without an answer.
        assert_eq!(in_time(socket.read(&mut [0; 1])).await.unwrap_or(0), 0);
    }
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn thousands_of_connections_leave_nothing() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("tcp").await;
    let name = target.target();
    let one = |count: usize| {
        let (server, name) = (tunnel.server.clone(), name.clone());
        async move {
            for _ in 0..count {
                let mut stream = server.dial(KEY, &name).await.unwrap();
                stream.write_all(b"x").await.unwrap();
                stream.read_u8().await.unwrap();
            }
        }
    };
    let all: Vec<_> = (0..40).map(|_| tokio::spawn(one(50))).collect();
    for task in all {
        task.await.unwrap();
    }
    until(|| tunnel.agent.ledger().connections.is_quiet()).await;
    let ledger = tunnel.server.ledger();
    assert_eq!(ledger.connections.added, 2000);
    assert!(ledger.connections.is_quiet(), "{ledger:?}");
    tunnel.end().await;
}

/// Sends `size` bytes through a forward to a target that counts them, from a task of its own.
async fn upload(at: SocketAddr, size: usize) -> u64 {
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(&vec![3; size]).await.unwrap();
    client.shutdown().await.unwrap();
    in_time(client.read_u64()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_share_a_tight_budget_lose_no_byte() {
    let target = Target::count().await;
    let mut config = SessionConfig::default();
    config.limits.send_buffer = 64 << 10;
    config.limits.send_budget = 100_000;
    let tunnel = Tunnel::with(server().session(config), |agent| agent, "tcp").await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = port.local_addr().unwrap();
    let forward = tunnel.server.forward(Listener::Tcp(port), KEY, &target.target());
    let uploads: Vec<_> = (0..16).map(|_| tokio::spawn(upload(at, 3_000_000))).collect();
    for upload in uploads {
        assert_eq!(upload.await.unwrap(), 3_000_000);
    }
    drop(forward);
    tunnel.end().await;
}

#[tokio::test]
async fn the_answer_of_a_target_that_closes_arrives_in_both_dialects() {
    for base in [false, true] {
        let target = Target::start(|mut socket| async move {
            socket.read_u8().await.ok();
            socket.write_all(&vec![9; 1_000_000]).await.ok();
            socket.shutdown().await.ok();
        })
        .await;
        let dialect =
            |agent: watertight::AgentBuilder| if base { agent.base_dialect() } else { agent };
        let tunnel = Tunnel::with(server(), dialect, "ws").await;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = port.local_addr().unwrap();
        let forward = tunnel.server.forward(Listener::Tcp(port), KEY, &target.target());
        for _ in 0..20 {
            let mut client = TcpStream::connect(at).await.unwrap();
            client.write_all(b"?").await.unwrap();
            let mut answer = Vec::new();
            in_time(client.read_to_end(&mut answer)).await.unwrap();
            assert_eq!(answer.len(), 1_000_000);
        }
        drop(forward);
        tunnel.end().await;
    }
}

#[tokio::test]
async fn a_dropped_forward_gives_its_port_back() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("tcp").await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = port.local_addr().unwrap();
    let forward = tunnel.server.forward(Listener::Tcp(port), KEY, &target.target());
    let mut client = TcpStream::connect(at).await.unwrap();
    echoes(&mut client).await;
    drop(forward);
    // Its connections end with it, and not as if they were complete.
    in_time(client.read_u8()).await.unwrap_err();
    in_time(async {
        while TcpListener::bind(at).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    tunnel.end().await;
}

#[tokio::test]
async fn an_agent_that_dies_frees_clients_that_do_not_read() {
    let target = Target::pour().await;
    let tunnel = Tunnel::start("tcp").await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = port.local_addr().unwrap();
    let forward = tunnel.server.forward(Listener::Tcp(port), KEY, &target.target());
    let clients = [TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap()];
    // Until everything between target and client is full.
    let held = || tunnel.server.ledger().connections.bytes_received;
    until(|| held() > 60_000).await;
    let idle = tunnel.server.ledger().tasks - clients.len();
    tunnel.agent.kill().await;
    // Nobody reads, and still the splices end: the tasks of the session and of the forward.
    until(|| tunnel.server.ledger().tasks < idle).await;
    drop((clients, forward));
    assert!(tunnel.server.shutdown(Duration::from_secs(5)).await.is_settled());
}

#[tokio::test]
async fn a_key_that_is_too_long_is_refused_with_its_reason() {
    let server = server().build();
    let at = listen(&server).await;
    let agent = agent("ws", at, &"k".repeat(513)).start();
    let reason = reason(&agent).await;
    assert!(reason.contains("400") && reason.contains("513 bytes"), "{reason}");
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_hook_that_gives_no_key_gives_no_session() {
    let server = Server::builder(|_| ready(Ok(String::new()))).build();
    let agent = agent("tcp", listen(&server).await, KEY).start();
    let reason = reason(&agent).await;
    assert!(reason.contains("400") && reason.contains("key is empty"), "{reason}");
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// The answer of a server to a program that is no agent.
async fn answer(at: SocketAddr, headers: &str) -> String {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let request = format!("GET /connect HTTP/1.1\r\nhost: {at}\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(socket.read_to_string(&mut answer)).await.unwrap();
    answer.to_lowercase()
}

#[tokio::test]
async fn the_answer_to_another_request_names_the_upgrade() {
    let server = server().build();
    let at = listen(&server).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (plain, nobody) = (answer(at, "").await, answer(at, upgrade).await);
    assert!(plain.starts_with("http/1.1 426 ") && plain.contains("\r\nupgrade: websocket\r\n"));
    assert!(nobody.starts_with("http/1.1 401 ") && !nobody.contains("\r\nupgrade:"), "{nobody}");
    for answer in [plain, nobody] {
        let (dated, closes) =
            (answer.contains("\r\ndate: "), answer.contains("\r\nconnection: close"));
        assert!(dated && closes, "{answer}");
    }
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_key_that_would_garble_logs_is_refused() {
    let server = server().build();
    let at = listen(&server).await;
    let agent = agent("tcp", at, "edge\n7\x1b[2J").start();
    let reason = reason(&agent).await;
    assert!(reason.contains("control characters"), "{reason}");
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn agents_connect_to_one_path_which_the_refusal_names() {
    let server = server().connect_path("/v3/connect").build();
    let at = listen(&server).await;
    let agent = |path: &str| {
        let endpoint = format!("ws://{at}{path}").parse().unwrap();
        Agent::builder(endpoint, KEY).token(TOKEN).start()
    };
    let elsewhere = agent("");
    let reason = reason(&elsewhere).await;
    assert_eq!(reason, "refused by the server: 404: agents connect to /v3/connect");
    assert!(elsewhere.shutdown(Duration::ZERO).await.is_settled());
    let there = agent("/v3/connect?as=usual");
    in_time(there.connected()).await.unwrap();
    assert!(there.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_full_server_refuses_with_the_reason() {
    for scheme in ["ws", "tcp"] {
        let limits = RegistryLimits { agents: 1, ..RegistryLimits::default() };
        let tunnel = Tunnel::with(server().registry(limits), |agent| agent, scheme).await;
        let second = agent(scheme, tunnel.at, "edge-8").start();
        let reason = reason(&second).await;
        assert!(reason.contains("503") && reason.contains("no room"), "{reason}");
        assert!(second.shutdown(Duration::ZERO).await.is_settled());
        // A session that takes over needs no capacity.
        let same = agent(scheme, tunnel.at, KEY).start();
        in_time(same.connected()).await.unwrap();
        assert!(same.shutdown(Duration::ZERO).await.is_settled());
        tunnel.end().await;
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_refuses_with_the_reason() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("ws").await;
    let held = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    let server = tunnel.server.clone();
    let shutting_down = tokio::spawn(tunnel.server.shutdown(Duration::from_secs(20)));
    until(|| is_going_away(&tunnel.agent)).await;
    for endpoint in ["ws://in.memory", "tcp://in.memory:1"] {
        let server = server.clone();
        let connect = move || {
            let (near, far) = duplex(1000);
            server.serve_io(far, None);
            async move { Ok(near) }
        };
        let builder = Agent::builder(endpoint.parse().unwrap(), "edge-8").token(TOKEN);
        let late = builder.connect_with(connect).start();
        let reason = reason(&late).await;
        assert!(reason.contains("503") && reason.contains("shutting down"), "{reason}");
        assert!(late.shutdown(Duration::ZERO).await.is_settled());
    }
    drop(held);
    assert!(in_time(shutting_down).await.unwrap().is_settled());
    assert!(tunnel.agent.shutdown(Duration::ZERO).await.is_settled());
}

/// A client that sends its preface on a byte stream and then nothing more, not even a close
/// message.
async fn mute_client(server: &Server) -> DuplexStream {
    let hello = Hello { version: 1, client_key: KEY.into(), token: TOKEN.into() };
    let reply = HelloReply { version: 1, status: HelloReply::ACCEPTED, text: String::new() };
    let (mut near, far) = duplex(1000);
    server.serve_io(far, None);
    near.write_all(&hello.encode()).await.unwrap();
    near.read_exact(&mut vec![0; reply.encode().len()]).await.unwrap();
    near
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_again_and_again_leaves_few_sessions_behind() {
    let server = server().build();
    let mut dials = JoinSet::new();
    let mut sockets = Vec::new();
    for round in 1..=50 {
        sockets.push(in_time(mute_client(&server)).await);
        until(|| server.ledger().registry.agents.added == round).await;
        // The newest, four that end slowly, and tasks that the runtime has not polled yet: the
        // listener, its handshakes and one that was killed.
        let tasks = server.ledger().tasks;
        assert!(tasks <= 10, "{tasks} tasks after {round} sessions");
        let dialling = server.clone();
        dials.spawn(async move { dialling.dial(KEY, "tcp/127.0.0.1:1").await });
    }
    dials.shutdown().await;
    until(|| server.ledger().connections.is_quiet()).await;
    let ledger = in_time(server.shutdown(Duration::ZERO)).await;
    assert!(ledger.is_settled(), "{ledger:?}");
    assert_eq!(ledger.registry.agents.removed, 50);
}

#[tokio::test]
async fn the_smallest_limits_accept_every_valid_message() {
    let target = Target::count().await;
    let mut config = SessionConfig::default();
    config.limits.max_message = 0;
    for scheme in ["ws", "tcp"] {
        let builder = server().session(config.clone()).max_handshakes(usize::MAX);
        let tunnel = Tunnel::with(builder, |agent| agent.session(config.clone()), scheme).await;
        let mut stream = tunnel.server.dial(KEY, &target.target()).await.unwrap();
        stream.write_all(&[1; 100_000]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(in_time(stream.read_u64()).await.unwrap(), 100_000);
        drop(stream);
        tunnel.end().await;
    }
}

#[tokio::test]
async fn a_client_that_is_disconnected_receives_the_reason() {
    let tunnel = Tunnel::start("tcp").await;
    let client = tunnel.server.client(KEY).unwrap();
    assert_eq!((client.key.as_str(), client.dialect), (KEY, Dialect::Extended));
    assert!(tunnel.server.client("nobody").is_none());
    assert!(!tunnel.server.disconnect("nobody", ""));

    let mut events = tunnel.server.subscribe();
    assert!(tunnel.server.disconnect(KEY, "you owe rent"));
    let WaitReason::Ended(end) = wait_reason(&tunnel.agent).await else { panic!() };
    let SessionEnd::RemoteClosed { code: GoAwayCode::SHUTDOWN, text } = end else {
        panic!("{end}")
    };
    assert_eq!(text, "you owe rent");
    match in_time(events.next()).await.unwrap().unwrap() {
        ServerEvent::Disconnected { session, .. } => assert_eq!(session, client.session),
        event => panic!("{event:?}"),
    }
    tunnel.end().await;
}

#[tokio::test]
async fn a_client_that_is_drained_comes_back_and_keeps_what_is_open() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("tcp").await;
    assert!(!tunnel.server.drain("nobody", "", Duration::ZERO));
    let old = tunnel.server.client(KEY).unwrap().session;
    let mut stream = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    assert!(tunnel.server.drain(KEY, "moving house", Duration::from_secs(60)));
    until(|| tunnel.server.client(KEY).is_some_and(|client| client.session != old)).await;
    stream.write_u8(7).await.unwrap();
    assert_eq!(in_time(stream.read_u8()).await.unwrap(), 7);
    drop(stream);
    until(|| tunnel.server.ledger().registry.agents.live == 1).await;
    in_time(tunnel.server.dial(KEY, &target.target())).await.unwrap();
    tunnel.end().await;
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_nothing() {
    let target = Target::echo().await;
    let tunnel = Tunnel::start("ws").await;
    let mut stream = tunnel.server.dial(KEY, &target.target()).await.unwrap();
    stream.write_u8(7).await.unwrap();
    let ledger = in_time(tunnel.server.kill()).await;
    assert!(ledger.is_settled(), "{ledger:?}");
    in_time(stream.read_u8()).await.unwrap_err();
    drop(stream);
    let agent = in_time(tunnel.agent.shutdown(Duration::from_secs(5))).await;
    assert!(agent.is_settled(), "{agent:?}");
}

/// The application may hold unread bytes without a limit.
#[tokio::test]
async fn an_agent_that_is_killed_counts_nothing_that_is_still_held() {
    let (given, mut streams) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |incoming: Incoming| {
        given.send(incoming.accept().unwrap()).unwrap();
        ready(())
    };
    let tunnel = Tunnel::with(server(), |agent| agent.dial_handler(handler), "tcp").await;
    let mut stream = tunnel.server.dial(KEY, "anything").await.unwrap();
    stream.write_all(b"unread").await.unwrap();
    let held = in_time(streams.recv()).await.unwrap();
    until(|| tunnel.agent.ledger().connections.bytes_received == 6).await;
    let ledger = in_time(tunnel.agent.kill()).await;
    assert!(ledger.is_settled(), "{ledger:?}");
    drop((stream, held));
    assert!(in_time(tunnel.server.shutdown(Duration::ZERO)).await.is_settled());
}

#[tokio::test]
async fn a_handler_that_panics_takes_nothing_with_it() {
    fn answer(incoming: Incoming) -> Ready<()> {
        assert_ne!(incoming.target(), "panic", "as a hook may that trusts its peer");
        drop(incoming.accept());
        ready(())
    }
    let builder = server().dial_handler(|_, incoming| answer(incoming));
    let tunnel = Tunnel::with(builder, |agent| agent.dial_handler(answer), "tcp").await;
    in_time(tunnel.server.dial(KEY, "panic")).await.unwrap_err();
    in_time(tunnel.agent.dial("panic")).await.unwrap_err();
    in_time(tunnel.server.dial(KEY, "else")).await.unwrap();
    in_time(tunnel.agent.dial("else")).await.unwrap();
    assert_eq!(tunnel.server.ledger().registry.agents.added, 1);
    tunnel.end().await;
}

/// A client whose session ends as soon as it has begun.
async fn brief_client(server: Server) {
    let hello = Hello { version: 1, client_key: KEY.into(), token: TOKEN.into() };
    let (mut near, far) = duplex(1000);
    server.serve_io(far, None);
    near.write_all(&hello.encode()).await.unwrap();
    near.shutdown().await.unwrap();
    in_time(near.read_to_end(&mut Vec::new())).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_the_order_in_which_things_happen() {
    let server = server().session_interval(Duration::ZERO).min_turn(Duration::ZERO).build();
    let mut events = server.subscribe();
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let server = server.clone();
        clients.spawn(async move {
            for _ in 0..100 {
                brief_client(server.clone()).await;
            }
        });
    }
    clients.join_all().await;
    until(|| server.ledger().is_settled()).await;
    let (mut up, mut newest) = (BTreeSet::new(), None);
    while let Ok(Some(event)) = events.try_next() {
        match event {
            ServerEvent::Connected { session, replaced, .. } => {
                assert_eq!(replaced, newest.is_some(), "{session}: {newest:?}");
                newest = Some(session);
                assert!(up.insert(session));
            }
            ServerEvent::Disconnected { session, .. } => {
                newest.take_if(|newest| *newest == session);
                assert!(up.remove(&session), "{session} is gone before it was there");
            }
            event => panic!("{event:?}"),
        }
    }
    assert_eq!(server.ledger().registry.agents.added, 400);
    assert!(up.is_empty(), "{up:?}");
}
