//! Connections from an agent to its server: HTTP proxies, Unix sockets, the embedder's streams.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional, duplex,
};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use watertight::proto::ReconnectConfig;
use watertight::{Agent, AgentBuilder, AgentStatus, AgentStopped, ProxyPolicy, Server};

use support::{KEY, TOKEN, in_time, listen, loopback, server, until};

/// An HTTP proxy that allows CONNECT with `authorization`, and counts.
async fn proxy(authorization: Option<&'static str>, used: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            used.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve_connect(socket, authorization));
        }
    });
    at.to_string()
}

async fn serve_connect(socket: TcpStream, authorization: Option<&str>) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let (mut head, mut line) = (String::new(), String::new());
    while socket.read_line(&mut line).await? > 2 {
        head.push_str(&std::mem::take(&mut line));
    }
    let allowed = authorization.is_none_or(|expected| head.contains(expected));
    if !head.starts_with("CONNECT ") || !allowed {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
        return socket.write_all(answer.as_bytes()).await;
    }
    let to = head.split(' ').nth(1).unwrap();
    let mut far = TcpStream::connect(to).await?;
    socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut socket, &mut far).await.map(drop)
}

#[tokio::test]
async fn an_agent_goes_through_an_http_proxy() {
    let server = server().build();
    let at = listen(&server).await;
    let used = Arc::new(AtomicUsize::new(0));
    // "user:secret" in base 64, as the standard for basic authentication has it.
    let proxy = proxy(Some("dXNlcjpzZWNyZXQ="), Arc::clone(&used)).await;
    let through =
        |proxy: String| support::agent("ws", at, KEY).proxy(ProxyPolicy::Url(proxy)).start();
    let agent = through(format!("http://user:secret@{proxy}"));
    in_time(agent.connected()).await.unwrap();
    assert_eq!(used.load(Ordering::Relaxed), 1);
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());

    let refused = through(format!("http://{proxy}"));
    let mut status = refused.status();
    let waiting = |status: &AgentStatus| matches!(status, AgentStatus::Waiting { .. });
    let status = format!("{:?}", *in_time(status.wait_for(waiting)).await.unwrap());
    assert!(status.contains(&proxy) && status.contains("auth"), "{status}");
    assert!(!status.contains("secret"), "{status}");
    assert!(refused.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// A SOCKS proxy that requires `user`, connects to the server at `to`, and records the requested
/// names.
async fn socks_proxy(
    user: Option<&'static str>,
    to: std::net::SocketAddr,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve_socks(socket, user, to, Arc::clone(&asked)));
        }
    });
    at.to_string()
}

async fn serve_socks(
    mut socket: TcpStream,
    user: Option<&str>,
    to: std::net::SocketAddr,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    // RFC 1928: version, methods; version, method.
    assert_eq!(socket.read_u8().await?, 5);
    let mut methods = vec![0; socket.read_u8().await?.into()];
    socket.read_exact(&mut methods).await?;
    let method = if user.is_some() { 2 } else { 0 };
    if !methods.contains(&method) {
        return socket.write_all(&[5, 0xff]).await;
    }
    socket.write_all(&[5, method]).await?;
    if let Some(user) = user {
        // RFC 1929: version, user, password; version, status.
        assert_eq!(socket.read_u8().await?, 1);
        let mut words = Vec::new();
        for _ in 0..2 {
            let mut word = vec![0; socket.read_u8().await?.into()];
            socket.read_exact(&mut word).await?;
            words.push(String::from_utf8(word).unwrap());
        }
        let refused = u8::from(words.join(":") != user);
        socket.write_all(&[1, refused]).await?;
    }
    // Version, CONNECT, reserved, a name, port; version, success, reserved, an address.
    let mut head = [0; 4];
    socket.read_exact(&mut head).await?;
    assert_eq!(head, [5, 1, 0, 3]);
    let mut name = vec![0; socket.read_u8().await?.into()];
    socket.read_exact(&mut name).await?;
    let port = socket.read_u16().await?;
    asked.lock().unwrap().push(format!("{}:{port}", String::from_utf8(name).unwrap()));
    let mut far = TcpStream::connect(to).await?;
    socket.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut socket, &mut far).await.map(drop)
}

#[tokio::test]
async fn an_agent_goes_through_a_socks_proxy_that_knows_the_name() {
    let server = server().build();
    let at = listen(&server).await;
    let asked = Arc::default();
    let open = socks_proxy(None, at, Arc::clone(&asked)).await;
    let guarded = socks_proxy(Some("user:secret"), at, Arc::clone(&asked)).await;
    // A name that only the proxy can resolve.
    let through = |proxy: String| {
        let endpoint = "ws://server.invalid:81".parse().unwrap();
        let agent = Agent::builder(endpoint, KEY).token(TOKEN).policy(loopback());
        agent.proxy(ProxyPolicy::Url(proxy)).start()
    };
    for proxy in [format!("socks5://{open}"), format!("socks5h://user:secret@{guarded}")] {
        let agent = through(proxy);
        in_time(agent.connected()).await.unwrap();
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
    assert_eq!(*asked.lock().unwrap(), ["server.invalid:81"; 2]);
    let refused = through(format!("socks5://{guarded}"));
    let mut status = refused.status();
    let waiting = |status: &AgentStatus| matches!(status, AgentStatus::Waiting { .. });
    let status = format!("{:?}", *in_time(status.wait_for(waiting)).await.unwrap());
    assert!(status.contains(&guarded), "{status}");
    assert!(refused.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn an_agent_reaches_a_unix_socket() {
    let server = server().build();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.sock");
    server.listen_unix(UnixListener::bind(&path).unwrap());
    let endpoint = format!("unix:{}", path.display()).parse().unwrap();
    let agent = Agent::builder(endpoint, KEY).token(TOKEN).start();
    in_time(agent.connected()).await.unwrap();
    until(|| server.clients().len() == 1).await;
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// The times of an agent's attempts at a server that answers each upgrade with `answer`, from its
/// start on.
async fn visits(answer: &'static str, count: usize) -> Vec<Duration> {
    let (visit, mut visits) = tokio::sync::mpsc::unbounded_channel();
    let connect = move || {
        visit.send(tokio::time::Instant::now()).ok();
        let (near, far) = duplex(10_000);
        tokio::spawn(async move {
            let (mut far, mut line) = (BufReader::new(far), String::new());
            while far.read_line(&mut line).await.unwrap() > 2 {
                line.clear();
            }
            far.write_all(answer.as_bytes()).await.unwrap();
        });
        async move { Ok(near) }
    };
    let start = tokio::time::Instant::now();
    let agent =
        Agent::builder("ws://in.memory".parse().unwrap(), KEY).seed(1).connect_with(connect);
    let agent = agent.start();
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(visits.recv().await.unwrap() - start);
    }
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    times
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_is_given_it() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 40\r\nContent-Length: 0\r\n\r\n";
    let times = visits(busy, 3).await;
    for pair in times.windows(2) {
        let rest = pair[1] - pair[0];
        assert!((40..42).contains(&rest.as_secs()), "{times:?}");
    }
    // Up to a limit.
    let never = "HTTP/1.1 429 No\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n";
    let times = visits(never, 2).await;
    assert!((300..302).contains(&(times[1] - times[0]).as_secs()), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_whose_server_goes_away_does_not_come_back_at_once() {
    const AGENTS: u64 = 60;
    let first = server().build();
    let (came, mut coming) = tokio::sync::mpsc::unbounded_channel();
    let acceptor = first.clone();
    let agents: Vec<Agent> = (0..AGENTS)
        .map(|number| {
            let (acceptor, came) = (acceptor.clone(), came.clone());
            let connect = move || {
                came.send(tokio::time::Instant::now()).ok();
                let (near, far) = duplex(1000);
                acceptor.serve_io(far, None);
                async move { Ok(near) }
            };
            let endpoint = "tcp://in.memory:1".parse().unwrap();
            let agent = Agent::builder(endpoint, &format!("edge-{number}")).token(TOKEN);
            agent.seed(number).connect_with(connect).start()
        })
        .collect();
    until(|| first.clients().len() == 60).await;
    while coming.try_recv().is_ok() {}
    let cut = tokio::time::Instant::now();
    first.kill().await;
    let mut seconds = [0; 6];
    for _ in 0..AGENTS {
        let after = coming.recv().await.unwrap() - cut;
        // The first attempts; later ones are not counted.
        seconds[usize::try_from(after.as_secs()).unwrap().min(5)] += 1;
    }
    assert!(seconds[0] < 25, "{seconds:?}");
    for agent in agents {
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
}

/// An agent that reaches `server` in memory.
fn in_memory(server: &Server, endpoint: &str) -> AgentBuilder {
    let acceptor = server.clone();
    let connect = move || {
        let (near, far) = duplex(1000);
        acceptor.serve_io(far, None);
        async move { Ok(near) }
    };
    let agent = Agent::builder(endpoint.parse().unwrap(), KEY).token(TOKEN).policy(loopback());
    agent.connect_with(connect)
}

#[tokio::test]
async fn any_byte_stream_can_carry_a_session() {
    for endpoint in ["ws://in.memory", "tcp://in.memory:1"] {
        let server = server().build();
        let agent = in_memory(&server, endpoint).start();
        in_time(agent.connected()).await.unwrap();
        until(|| server.clients().len() == 1).await;
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
        let ledger = server.shutdown(Duration::ZERO).await;
        assert!(ledger.is_settled(), "{ledger:?}");
    }
}

#[tokio::test]
async fn a_waiter_for_an_agent_learns_of_its_shutdown() {
    let connect = std::future::pending::<std::io::Result<TcpStream>>;
    let builder = Agent::builder("tcp://in.memory:1".parse().unwrap(), KEY);
    let agent = builder.connect_with(connect).start();
    let other = agent.clone();
    let error = other.dial("anything").await.unwrap_err();
    assert_eq!(error.to_string(), "the agent is not connected to its server");
    let shut_down = async { agent.shutdown(Duration::ZERO).await };
    let (connected, ledger) = in_time(async { tokio::join!(other.connected(), shut_down) }).await;
    assert_eq!(connected, Err(AgentStopped));
    assert!(ledger.is_settled());
    assert_eq!(in_time(other.connected()).await, Err(AgentStopped));
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_is_a_failed_attempt() {
    let server = server().build();
    let (acceptor, attempts) = (server.clone(), AtomicUsize::new(0));
    let connect = move || {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        assert_ne!(attempt, 0, "before there is a future");
        let (near, far) = duplex(1000);
        acceptor.serve_io(far, None);
        async move {
            assert_ne!(attempt, 1, "in the future");
            Ok(near)
        }
    };
    let endpoint = "tcp://in.memory:1".parse().unwrap();
    let agent = Agent::builder(endpoint, KEY).token(TOKEN).connect_with(connect).start();
    let mut status = agent.status();
    let waiting = |status: &AgentStatus| matches!(status, AgentStatus::Waiting { .. });
    let AgentStatus::Waiting { reason, .. } =
        in_time(status.wait_for(waiting)).await.unwrap().clone()
    else {
        unreachable!()
    };
    assert_eq!(reason.to_string(), "what makes the connection, or its token, panicked");
    in_time(agent.connected()).await.unwrap();
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// The share of the time for which each of two agents with one key was connected, and their number
/// of sessions.
async fn take_turns(reconnect: [ReconnectConfig; 2], time: Duration) -> ([u64; 2], u64) {
    let server = server().build();
    let mut seed = 0;
    let agents = reconnect.map(|config| {
        seed += 1;
        in_memory(&server, "tcp://in.memory:1").reconnect(config).seed(seed).start()
    });
    let mut connected = [0, 0];
    for _ in 0..time.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (agent, seconds) in agents.iter().zip(&mut connected) {
            *seconds +=
                u64::from(matches!(*agent.status().borrow(), AgentStatus::Connected { .. }));
        }
    }
    let turns = server.ledger().registry.agents.added;
    for agent in agents {
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
    (connected, turns)
}

#[tokio::test(start_paused = true)]
async fn two_agents_with_one_key_take_turns_of_half_a_minute() {
    let config = ReconnectConfig::default();
    let ([one, other], turns) = take_turns([config; 2], Duration::from_secs(60 * 60)).await;
    assert!((60..=122).contains(&turns), "{turns} sessions in an hour");
    assert!(one + other > 3500 && one.abs_diff(other) < 600, "{one} and {other} s");
}

#[tokio::test(start_paused = true)]
async fn an_impostor_that_does_not_wait_has_no_more_than_its_share() {
    let moment = Duration::from_millis(200);
    let hasty = ReconnectConfig {
        initial: moment,
        spread: moment,
        max: moment,
        ..ReconnectConfig::default()
    };
    let time = Duration::from_secs(20 * 60);
    let ([right, impostor], _) = take_turns([ReconnectConfig::default(), hasty], time).await;
    assert!(right * 100 / (right + impostor) >= 40, "{right} and {impostor} s");
}
