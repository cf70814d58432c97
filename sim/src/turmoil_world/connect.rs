//! Connections between hosts, and the greeting of an end that is not the library's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::net::{TcpListener, TcpStream};
use watertight::proto::wire::{Hello, HelloReply, PrefaceLimits};

use super::admission::address_of;
use super::environment::Environment;
use super::tcp::{Side, TcpSocket};
use crate::schedule::{Host, Transport};

/// Where servers listen.
const PORT: u16 = 80;

/// Connects to a server, or to the impostor that answers for it.
pub(super) async fn connect(
    env: Arc<Environment>,
    from: Host,
    server: u8,
) -> io::Result<TcpSocket> {
    env.count_attempt();
    let names = env.with_host(from, |state| state.names.clone()).flatten();
    if let Some(names) = names {
        names.of_server().await.map_err(io::Error::other)?;
    }
    let to = env.remotes().answers(env.recorder.now(), from, server);
    let stream = TcpStream::connect((to.to_string(), PORT)).await?;
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    let line = env.connections().between(local, remote, || env.connection(from, to));
    Ok(TcpSocket::new(stream, line, Side::Connector, env.plan.portion()))
}

pub(super) async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(("0.0.0.0", PORT)).await
}

/// Waits for a connection. Returns the address that is seen, too.
pub(super) async fn accept(
    env: &Environment,
    at: Host,
    listener: &TcpListener,
) -> io::Result<(TcpSocket, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    let local = stream.local_addr()?;
    let by = env.host_at(remote.ip()).unwrap_or(Host::Agent(u8::MAX));
    let line = env.connections().between(remote, local, || env.connection(by, at));
    let socket = TcpSocket::new(stream, line, Side::Acceptor, env.plan.portion());
    Ok((socket, address_of(&env.plan, by, remote)))
}

/// The token that servers take.
pub(super) const TOKEN: &str = "secret";

/// Greets a server and waits until it is let in.
pub(super) async fn exchange(
    socket: &mut TcpSocket,
    key: &str,
    transport: Transport,
    base: bool,
) -> io::Result<()> {
    socket.write_all(&greeting(key, TOKEN, transport, base)).await?;
    match transport {
        Transport::WebSocket => await_upgrade(socket).await,
        Transport::ByteStream => await_reply(socket).await,
    }
}

/// The greeting of an agent.
pub(super) fn greeting(key: &str, token: &str, transport: Transport, base: bool) -> Vec<u8> {
    if transport == Transport::ByteStream {
        let hello = Hello { version: 1, client_key: key.into(), token: token.into() };
        return hello.encode().to_vec();
    }
    let protocol = if base { "" } else { "Watertight-Protocol: 1\r\n" };
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2ltdWxhdGVkIHNvY2tldA==\r\n\
         X-Tunnel-ID: {key}\r\nAuthorization: Bearer {token}\r\n{protocol}\r\n",
    );
    request.into_bytes()
}

/// Whether this is the beginning of an answer that admits an agent.
pub(super) fn lets_in(answer: &[u8]) -> bool {
    let reply = HelloReply::decode(&mut answer.into(), &PrefaceLimits::default());
    let accepted = matches!(reply, Ok(Some(reply)) if reply.status == HelloReply::ACCEPTED);
    accepted || answer.starts_with(b"HTTP/1.1 101 ")
}

async fn await_upgrade(socket: &mut TcpSocket) -> io::Result<()> {
    let head = read_head(socket).await?;
    if lets_in(&head) { Ok(()) } else { Err(refused()) }
}

/// Reads the head of a request or of an answer.
pub(super) async fn read_head(socket: &mut TcpSocket) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(head)
}

async fn await_reply(socket: &mut TcpSocket) -> io::Result<()> {
    let mut answer = BytesMut::new();
    loop {
        let reply = HelloReply::decode(&mut answer, &PrefaceLimits::default());
        match reply.map_err(|error| io::Error::other(error.to_string()))? {
            Some(reply) if reply.status == HelloReply::ACCEPTED => return Ok(()),
            Some(_) => return Err(refused()),
            None if socket.read_buf(&mut answer).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            None => {}
        }
    }
}

fn refused() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}
