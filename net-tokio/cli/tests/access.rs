//! Who gets in, as whom, and for how long.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod processes;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use watertight::proto::wire::{Hello, HelloReply, PrefaceLimits};
use watertight::{Agent, AgentStatus, ReconnectConfig};

use processes::{
    Answer, Authority, KEY, LAB_TOKEN, PATIENCE, TOKEN, Target, Tunnel, Watertight, eventually,
    exchange, get, in_time, write_private,
};

/// An agent of this process, at another address of this machine than the rest.
fn elsewhere(at: SocketAddr, key: &str, token: &str) -> Agent {
    let connect = move || async move {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.9:0".parse().unwrap())?;
        socket.connect(at).await
    };
    let agent = Agent::builder(format!("tcp://{at}").parse().unwrap(), key).token(token);
    agent.connect_with(connect).start()
}

/// Why an agent is not connected.
async fn refusal(agent: &Agent) -> String {
    let mut status = agent.status();
    let waits = status.wait_for(|status| matches!(status, AgentStatus::Waiting { .. }));
    let status = in_time("a refusal", waits).await.unwrap().clone();
    let AgentStatus::Waiting { reason, .. } = status else { unreachable!() };
    reason.to_string()
}

async fn clients(server: &Watertight, expected: &[&str]) {
    eventually(PATIENCE, "the clients", async || {
        let clients = server.clients().await;
        if clients == expected { Ok(()) } else { Err(format!("{clients:?}")) }
    })
    .await;
}

fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

#[tokio::test]
async fn s3_the_token_of_many_is_not_good_for_a_key_with_its_own() {
    let tunnel = Tunnel::by("tcp").start().await;
    let at = tunnel.server.address("agents");
    let right = elsewhere(at, "lab", LAB_TOKEN);
    clients(&tunnel.server, &[KEY, "lab"]).await;
    let impostor = elsewhere(at, "lab", TOKEN);
    let reason = refusal(&impostor).await;
    assert!(reason.contains("this token is not for client key \"lab\""), "{reason}");
    assert!(matches!(*right.status().borrow(), AgentStatus::Connected { .. }));
    for agent in [right, impostor] {
        agent.shutdown(PATIENCE).await;
    }
    tunnel.end().await;
}

#[tokio::test]
async fn s3_a_takeover_from_another_address_is_a_warning_with_both_and_counted() {
    let tunnel = Tunnel::by("tcp").start().await;
    let other = elsewhere(tunnel.server.address("agents"), KEY, TOKEN);
    in_time("the takeover", other.connected()).await.unwrap();
    tunnel.server.logs("was taken over from another address").await;
    let log = tunnel.server.log();
    let line = log.lines().find(|line| line.contains("taken over from another")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "WARN");
    for (name, address) in [("remote", "127.0.0.9:"), ("replaced", "127.0.0.1:")] {
        assert!(line.to_string().contains(&format!("\"{name}\":\"{address}")), "{line}");
    }
    let metrics = get(tunnel.server.admin(), "/metrics").await.body;
    let counted = metrics.lines().find(|line| line.starts_with("watertight_sessions_replaced{"));
    assert!(counted.is_some_and(|line| line.contains("elsewhere")), "{metrics}");
    other.shutdown(PATIENCE).await;
    tunnel.end().await;
}

#[tokio::test]
async fn s3_of_two_agents_with_one_key_the_one_that_is_there_stays_for_a_while() {
    let tunnel = Tunnel::by("tcp").start().await;
    let url = format!("tcp://{}", tunnel.server.address("agents"));
    let soon = Duration::from_millis(10);
    let reconnect = ReconnectConfig { initial: soon, spread: soon, ..ReconnectConfig::default() };
    let agents = [(); 2].map(|()| {
        let agent = Agent::builder(url.parse().unwrap(), "both").token(TOKEN);
        agent.reconnect(reconnect).start()
    });
    let is_refused = |status: &AgentStatus| match status {
        AgentStatus::Waiting { reason, .. } => reason.to_string().contains("a moment ago"),
        _ => false,
    };
    let [mut first, mut second] = agents.each_ref().map(Agent::status);
    in_time("a refusal", async {
        tokio::select! {
            refused = first.wait_for(is_refused) => drop(refused.unwrap()),
            refused = second.wait_for(is_refused) => drop(refused.unwrap()),
        }
    })
    .await;
    clients(&tunnel.server, &["both", KEY]).await;
    for agent in agents {
        agent.shutdown(PATIENCE).await;
    }
    tunnel.end().await;
}

#[tokio::test]
async fn s6_a_session_ends_when_its_token_is_gone() {
    let echo = Target::echo().await;
    let tunnel = Tunnel::by("tcp").forward(echo.at).start().await;
    let lab = elsewhere(tunnel.server.address("agents"), "lab", LAB_TOKEN);
    clients(&tunnel.server, &[KEY, "lab"]).await;
    let tokens = tunnel.file("tokens");

    // What cannot be read revokes nothing.
    std::fs::remove_file(&tokens).unwrap();
    tunnel.server.hang_up();
    tunnel.server.logs("the tokens from before stay in force").await;
    clients(&tunnel.server, &[KEY, "lab"]).await;

    let mut held = tunnel.witness(echo.at).await;
    held.is_undisturbed().await;
    write_private(&tokens, &format!("{TOKEN}\n"));
    tunnel.server.hang_up();
    let reason = refusal(&lab).await;
    assert!(reason.contains("its token is not good any more"), "{reason}");
    clients(&tunnel.server, &[KEY]).await;
    held.is_undisturbed().await;
    drop(held);

    // An empty file means nobody.
    write(&tokens, "");
    tunnel.server.hang_up();
    clients(&tunnel.server, &[]).await;
    tunnel.agent.logs("its token is not good any more").await;
    tunnel.agent.logs("unknown token").await;
    tunnel.server.logs("there is no token in the file").await;

    // It comes back when it may.
    write(&tokens, &format!("{TOKEN}\n"));
    tunnel.server.hang_up();
    clients(&tunnel.server, &[KEY]).await;
    lab.shutdown(PATIENCE).await;
    tunnel.end().await;
}

#[tokio::test]
async fn s7_an_agent_that_reconnects_all_the_time_writes_few_lines() {
    let tunnel = Tunnel::by("tcp").start().await;
    let at = tunnel.server.address("agents");
    let key = "\u{202e}".to_string() + &"k".repeat(400);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..500 {
        let reply = greet(at, key.clone(), TOKEN).await;
        if reply.status == HelloReply::ACCEPTED { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted >= 10 && refused > 400, "{accepted} accepted, {refused} refused");
    let log = tunnel.server.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("kkk")).collect();
    assert!((10..=60).contains(&lines.len()), "{} lines", lines.len());
    for line in lines {
        assert!(line.len() < 1000 && !line.contains('\u{202e}'), "{line}");
    }
    tunnel.end().await;
}

/// The answer to an end that greeted with this key and token.
async fn greet(at: SocketAddr, key: String, token: &str) -> HelloReply {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let hello = Hello { version: 1, client_key: key, token: token.into() }.encode();
    socket.write_all(&hello).await.unwrap();
    let mut reply = BytesMut::new();
    loop {
        if let Some(reply) = HelloReply::decode(&mut reply, &PrefaceLimits::default()).unwrap() {
            return reply;
        }
        assert!(in_time("an answer", socket.read_buf(&mut reply)).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn s7_an_agent_that_takes_key_after_key_or_long_ones_writes_few_lines() {
    let tunnel = Tunnel::by("tcp").start().await;
    let at = tunnel.server.address("agents");
    for number in 0..2500 {
        let reply = greet(at, format!("kkk-{number}"), TOKEN).await;
        assert_eq!(reply.status, HelloReply::ACCEPTED);
    }
    // Shown, each of its characters is eight.
    let long = "\u{200b}".repeat(10_000);
    for _ in 0..20 {
        assert_ne!(greet(at, long.clone(), LAB_TOKEN).await.status, HelloReply::ACCEPTED);
    }
    clients(&tunnel.server, &[KEY]).await;
    let log = tunnel.server.log();
    let lines = log.lines().count();
    // A session has two lines, and there were 2,500, within two minutes at most.
    assert!((2000..=4100).contains(&lines), "{lines} lines");
    assert!(
        log.lines().all(|line| line.len() < 4000),
        "{}",
        log.lines().map(str::len).max().unwrap()
    );
    tunnel.end().await;
}

#[tokio::test]
async fn s6_an_operator_ends_sessions() {
    let tunnel = Tunnel::by("ws").start().await;
    let admin = tunnel.server.admin();
    let ask = async |head: &str| {
        let request = format!("{head}\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        Answer::read(&exchange(admin, request.as_bytes()).await.unwrap())
    };
    let client = get(admin, &format!("/clients/{KEY}")).await;
    assert_eq!(client.status, 200);
    let client: Value = serde_json::from_str(&client.body).unwrap();
    assert_eq!((&client["key"], &client["identity"]), (&KEY.into(), &Value::Null));
    let path = format!("DELETE /clients/{KEY} HTTP/1.1");
    let of_page = ask(&format!("{path}\r\nSec-Fetch-Site: same-origin")).await;
    assert_eq!(of_page.status, 403, "{of_page:?}");
    assert_eq!(ask("DELETE /clients/nobody HTTP/1.1").await.status, 404);
    assert_eq!(ask(&format!("POST /clients/{KEY} HTTP/1.1")).await.status, 405);
    let ended = ask(&path).await;
    assert_eq!(ended.status, 200, "{ended:?}");
    tunnel.agent.logs("ended by the operator").await;
    clients(&tunnel.server, &[KEY]).await;
    tunnel.end().await;
}

#[tokio::test]
async fn s5_a_certificate_is_good_for_the_keys_that_it_names_until_it_is_revoked() {
    let authority = Authority::new();
    let [cert, key] = authority.sign("localhost");
    let [agent_cert, agent_key] = authority.sign(KEY);
    let revoked = authority.revoke(&[]);
    let ca = authority.ca();
    let server = Watertight::start(
        [
            ["server", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--client-key-from=san"]
                .as_slice(),
            &["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca, "--client-crl", &revoked],
        ]
        .concat(),
    )
    .await;
    let endpoint = format!("wss://localhost:{}/connect", server.address("agents").port());
    let agent = |client_key: &str| {
        let args = ["agent", "--connect", &endpoint, "--key", client_key, "--ca", &ca];
        let identity = ["--client-cert", &agent_cert, "--client-key", &agent_key];
        let args = args.into_iter().chain(identity).map(String::from);
        args.collect::<Vec<_>>()
    };
    let right = Watertight::start(agent(KEY)).await;
    clients(&server, &[KEY]).await;
    let impostor = Watertight::start_refused(agent("lab"));
    impostor.logs("this certificate is not for client key \"lab\"").await;
    impostor.kill().await;
    let client: Value =
        serde_json::from_str(&get(server.admin(), &format!("/clients/{KEY}")).await.body).unwrap();
    assert!(client["identity"].as_str().unwrap().contains(&format!("CN={KEY}")), "{client}");
    server.logs(&format!("CN={KEY}")).await;

    authority.revoke(&[KEY]);
    server.hang_up();
    right.logs("its certificate is not good any more").await;
    clients(&server, &[]).await;
    right.logs("TLS with").await;
    server.logs("agent refused: its certificate was revoked").await;
    right.terminate().await;
    server.terminate().await.is_settled();
}
