//! How a hostile agent gets in: as every agent does.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watertight::core::wire::{Hello, HelloReply, PrefaceLimits};

use crate::schedule::Transport;
use crate::turmoil_world::application::key;
use crate::turmoil_world::socket::Socket;

pub(super) async fn exchange(
    socket: &mut Socket,
    number: u8,
    transport: Transport,
    base: bool,
) -> io::Result<()> {
    match transport {
        Transport::WebSocket => upgrade(socket, number, base).await,
        Transport::ByteStream => say_hello(socket, number).await,
    }
}

async fn upgrade(socket: &mut Socket, number: u8, base: bool) -> io::Result<()> {
    let protocol = if base { "" } else { "Watertight-Protocol: 1\r\n" };
    let request = format!(
        "GET /connect HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2ltdWxhdGVkIHNvY2tldA==\r\n\
         X-Tunnel-ID: {}\r\nAuthorization: Bearer secret\r\n{protocol}\r\n",
        key(number)
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err(refused()) }
}

async fn say_hello(socket: &mut Socket, number: u8) -> io::Result<()> {
    let hello = Hello { version: 1, client_key: key(number), token: "secret".into() };
    socket.write_all(&hello.encode()).await?;
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
