//! How an end that is not the library's gets in, or tries to: as every agent does.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watertight::core::wire::{Hello, HelloReply, PrefaceLimits};

use super::socket::Socket;
use crate::schedule::Transport;

/// The token that servers take.
pub(super) const TOKEN: &str = "secret";

/// Greets a server and waits until it is let in.
pub(super) async fn exchange(
    socket: &mut Socket,
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

/// What an agent says first.
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

/// Whether this is the beginning of an answer that lets somebody in.
pub(super) fn lets_in(answer: &[u8]) -> bool {
    let reply = HelloReply::decode(&mut answer.into(), &PrefaceLimits::default());
    let accepted = matches!(reply, Ok(Some(reply)) if reply.status == HelloReply::ACCEPTED);
    accepted || answer.starts_with(b"HTTP/1.1 101 ")
}

async fn await_upgrade(socket: &mut Socket) -> io::Result<()> {
    let head = read_head(socket).await?;
    if lets_in(&head) { Ok(()) } else { Err(refused()) }
}

/// Reads the head of a request or of an answer.
pub(super) async fn read_head(socket: &mut Socket) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    Ok(head)
}

async fn await_reply(socket: &mut Socket) -> io::Result<()> {
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
