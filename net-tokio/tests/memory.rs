//! S10: the bytes of all sessions stay within the bound, for any sender, and sessions that hold
//! little are not affected.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watertight::proto::Cause;
use watertight::proto::wire::Dialect;
use watertight::{Agent, AgentBuilder, AgentStatus, Buffers, ConnectError, Server, TunnelStream};

use support::{TOKEN, Target, agent, in_time, listen, loopback, server, until};

/// The bound of the tests.
const MAX: u64 = 8 << 20;

/// Bytes that a turn of a session may receive before its account is checked: each session may be in
/// the middle of a turn.
const TURN: u64 = 512 << 10;

/// An agent whose targets send without end.
fn pouring(at: SocketAddr, key: &str) -> AgentBuilder {
    agent("ws", at, key).dial_handler(|dial| async move {
        let mut stream = dial.accept().unwrap();
        while stream.write_all(&[7; 16 << 10]).await.is_ok() {}
    })
}

/// An agent that both ends know to be connected: the agent knows it first.
async fn start(server: &Server, builder: AgentBuilder) -> Agent {
    let before = server.clients().len();
    let agent = builder.start();
    in_time(agent.connected()).await.unwrap();
    until(|| server.clients().len() > before).await;
    agent
}

async fn echoes(stream: &mut TunnelStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_sessions_that_are_made_to_hold_much_lose_connections() {
    for dialect in [Dialect::Extended, Dialect::Base] {
        let buffers = Buffers::new(MAX);
        let server = server().buffers(buffers.clone()).build();
        let at = listen(&server).await;
        let target = Target::echo().await;
        let good = start(&server, agent("ws", at, "good").policy(loopback())).await;
        let mut quiet = in_time(server.dial("good", &target.target())).await.unwrap();
        let mut agents = vec![good];
        let mut unread = Vec::new();
        for key in ["a", "b", "c"] {
            let builder = pouring(at, key);
            let extended = dialect == Dialect::Extended;
            let builder = if extended { builder } else { builder.base_dialect() };
            agents.push(start(&server, builder).await);
            for _ in 0..200 {
                match in_time(server.dial(key, "anything/at all")).await {
                    Ok(stream) => unread.push(stream),
                    Err(error) => panic!("{dialect:?}: {error}"),
                }
                let held = buffers.held();
                assert!(held <= MAX + 3 * TURN, "{dialect:?}: {held}");
            }
        }
        let shed = || server.ledger().connections.removed.by(Cause::Aborted);
        until(|| {
            let held = buffers.held();
            assert!(held <= MAX + 3 * TURN, "{dialect:?}: {held}");
            shed() > 0
        })
        .await;
        // A session that holds little is not affected, and another one may connect.
        echoes(&mut quiet).await;
        let mut later = in_time(server.dial("good", &target.target())).await.unwrap();
        echoes(&mut later).await;
        let ledger = server.ledger().connections;
        assert!(ledger.live > 100, "no more than had to go: {dialect:?} {ledger:?}");
        drop((unread, quiet, later));
        until(|| server.ledger().connections.live == 0).await;
        until(|| buffers.held() == 0).await;
        for agent in agents {
            agent.kill().await;
        }
        assert!(server.shutdown(Duration::ZERO).await.is_settled());
    }
}

/// A little less than what causes a message of credit, so that no turn of the session follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_a_session_whose_bytes_were_read_holds_none() {
    let buffers = Buffers::new(MAX);
    let server = server().buffers(buffers.clone()).build();
    let at = listen(&server).await;
    let saying = agent("ws", at, "read").dial_handler(|dial| async move {
        let mut stream = dial.accept().unwrap();
        stream.write_all(&[7; 15_000]).await.unwrap();
        std::future::pending::<()>().await;
    });
    let agents = [start(&server, saying).await, start(&server, pouring(at, "unread")).await];
    let mut read = Vec::new();
    for _ in 0..300 {
        read.push(in_time(server.dial("read", "anything/at all")).await.unwrap());
    }
    for stream in &mut read {
        in_time(stream.read_exact(&mut [0; 15_000])).await.unwrap();
    }
    assert_eq!(buffers.held(), 0);
    let mut unread = Vec::new();
    for _ in 0..300 {
        unread.push(in_time(server.dial("unread", "anything/at all")).await.unwrap());
    }
    until(|| server.client("unread").unwrap().ledger.removed.by(Cause::Aborted) > 0).await;
    let ledger = server.client("read").unwrap().ledger;
    assert_eq!((ledger.live, ledger.removed.total()), (300, 0), "{ledger:?}");
    drop((read, unread));
    for agent in agents {
        agent.kill().await;
    }
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn s10_an_agent_that_insists_takes_no_session_in_the_base_dialect() {
    let server = server().build();
    let at = listen(&server).await;
    let insisting = || agent("ws", at, "edge").token(TOKEN).extended_only();
    let agent = start(&server, insisting()).await;
    assert!(matches!(agent.status().borrow().clone(), AgentStatus::Connected { .. }));
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    // A server without the extension gives the same answer as to a request without an offer.
    let agent = insisting().base_dialect().start();
    let mut status = agent.status();
    let waits = |status: &AgentStatus| matches!(status, AgentStatus::Waiting { .. });
    let status = in_time(status.wait_for(waits)).await.unwrap().clone();
    let AgentStatus::Waiting { reason, .. } = status else { panic!("{status:?}") };
    assert_eq!(reason.to_string(), ConnectError::BaseDialect.to_string());
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

/// A splice takes bytes out of its session before its target accepts them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_bytes_in_splices_count_and_are_written_off_with_their_connections() {
    let buffers = Buffers::new(MAX);
    let server = server().build();
    let at = listen(&server).await;
    let deaf = Target::start(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let agent = agent("tcp", at, "edge").policy(loopback()).buffers(buffers.clone());
    let agent = start(&server, agent).await;
    let mut pouring = tokio::task::JoinSet::new();
    let pour = async |pouring: &mut tokio::task::JoinSet<()>| {
        let mut stream = in_time(server.dial("edge", &deaf.target())).await.unwrap();
        pouring.spawn(async move { while stream.write_all(&[7; 16 << 10]).await.is_ok() {} });
    };
    // One splice may have less in hand: the rest of its last partial write.
    for _ in 0..8 {
        pour(&mut pouring).await;
    }
    // The session's own ledger counts fewer.
    let in_hand = || {
        let ledger = agent.ledger().connections;
        buffers.held().saturating_sub(ledger.bytes_received + ledger.bytes_to_send)
    };
    until(|| in_hand() >= 16 << 10).await;
    for _ in 0..400 {
        pour(&mut pouring).await;
        assert!(buffers.held() <= MAX + TURN, "{}", buffers.held());
    }
    let shed = || agent.ledger().connections.removed.by(Cause::Aborted);
    until(|| shed() > 100).await;
    assert!(shed() < 400, "no more than had to go: {}", shed());
    drop(pouring);
    until(|| agent.ledger().connections.live == 0 && buffers.held() == 0).await;
    agent.kill().await;
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}
