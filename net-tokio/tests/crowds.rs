//! Many sockets without a session: they exclude no other source.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use watertight::{Agent, Server};

use support::{KEY, agent, in_time, listen, loopback, server, until};

/// Handshakes that run at once. Four times as many sockets wait.
const MAX: usize = 8;

/// A socket to `at` from an address of its own.
async fn connect_from(last: [u8; 2], at: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 1, last[0], last[1]], 0)))?;
    socket.connect(at).await
}

/// A server whose timeouts are too long to help, and its address.
async fn busy_server() -> (Server, SocketAddr) {
    let server = server().max_handshakes(MAX).handshake_timeout(Duration::from_secs(3600)).build();
    let at = listen(&server).await;
    (server, at)
}

/// Many sockets from `sources` addresses, each of which sends `word` and no more.
async fn many_sockets(at: SocketAddr, sources: u8, each: usize, word: &[u8]) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..each {
        for source in 0..sources {
            let mut socket = in_time(connect_from([0, source + 1], at)).await.unwrap();
            // Sockets above the limit are closed at once.
            socket.write_all(word).await.ok();
            sockets.push(socket);
        }
    }
    sockets
}

/// An agent with an address of its own, or with that of the many sockets.
fn agent_from(last: [u8; 2], at: SocketAddr) -> Agent {
    let agent = agent("tcp", at, KEY).policy(loopback());
    agent.connect_with(move || connect_from(last, at)).start()
}

async fn end(agent: Agent, server: Server) {
    assert!(in_time(agent.shutdown(Duration::ZERO)).await.is_settled());
    assert!(in_time(server.shutdown(Duration::ZERO)).await.is_settled());
}

/// The number of sockets that are still open. Reads their input first.
async fn open(sockets: &mut [TcpStream]) -> usize {
    let mut open = 0;
    for socket in sockets {
        let mut rest = [0; 256];
        let read = tokio::time::timeout(Duration::ZERO, socket.read(&mut rest)).await;
        open += usize::from(read.is_err());
    }
    open
}

#[tokio::test]
async fn silent_sockets_of_one_address_exclude_no_agent() {
    let (server, at) = busy_server().await;
    let mut silent = many_sockets(at, 1, 1000, b"").await;
    for last in [[9, 9], [0, 1]] {
        let agent = agent_from(last, at);
        in_time(agent.connected()).await.unwrap();
        assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    }
    // The newest ones wait for their first byte.
    until(|| server.kept().handshakes <= 4 * MAX).await;
    assert!(open(&mut silent[..900]).await == 0 && open(&mut silent[999..]).await == 1);
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn silent_sockets_of_a_hundred_addresses_exclude_no_agent() {
    let (server, at) = busy_server().await;
    let silent = many_sockets(at, 100, 10, b"").await;
    let agent = agent_from([9, 9], at);
    in_time(agent.connected()).await.unwrap();
    end(agent, server).await;
    drop(silent);
}

#[tokio::test]
async fn incomplete_requests_of_one_address_exclude_no_other_address() {
    for word in [&b"\0"[..], b"G", b"GET /connect HTTP/1.1\r\nHost: a\r\n"] {
        let (server, at) = busy_server().await;
        let greeting = many_sockets(at, 1, 100, word).await;
        let agent = agent_from([9, 9], at);
        in_time(agent.connected()).await.unwrap();
        end(agent, server).await;
        drop(greeting);
    }
}

/// The time until the answer to an upgrade with this token, in the runtime's time, and its status.
async fn ask(server: &Server, from: [u8; 4], token: &str) -> (Duration, String) {
    let (near, far) = tokio::io::duplex(4096);
    server.serve_io(far, Some(SocketAddr::from((from, 1))));
    let (mut read, mut write) = tokio::io::split(near);
    let begun = tokio::time::Instant::now();
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         X-Tunnel-ID: {KEY}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    write.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    read.read_exact(&mut status).await.unwrap();
    (begun.elapsed(), String::from_utf8(status.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_source_that_guesses_tokens_is_delayed_and_others_are_not() {
    let server = server().build();
    let (guesser, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let mut waits = Vec::new();
    for number in 0..30 {
        let (wait, status) = ask(&server, guesser, &format!("guess-{number}")).await;
        assert_eq!(status, "HTTP/1.1 401");
        waits.push(wait);
    }
    let second = Duration::from_secs(1);
    assert!(waits[..10].iter().all(|wait| *wait < second), "{waits:?}");
    let slowed = waits[10..].iter().filter(|wait| **wait >= 2 * second).count();
    // It may send one more without a delay for each six seconds.
    assert!(slowed >= 13, "{slowed} of {waits:?}");
    assert!(ask(&server, other, "guess").await.0 < second);
    ask(&server, guesser, "one more").await;
    // The right token is answered as late as a wrong one: a remote that does not wait for the
    // answer learns nothing.
    let (wait, status) = ask(&server, guesser, support::TOKEN).await;
    assert_eq!((wait >= 2 * second, &*status), (true, "HTTP/1.1 101"), "{wait:?}");
    assert!(ask(&server, other, support::TOKEN).await.0 < second);
    server.kill().await;
}
