//! Sessions on a byte stream by hand, for attackers that keep to no rule.

use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watertight::proto::wire::{Hello, HelloReply, PrefaceLimits, frame_prefix};

use crate::processes::{TOKEN, in_time};

/// Message types (`core/PROTOCOL.md`).
pub(crate) mod kind {
    pub(crate) const DATA: i64 = 1;
    pub(crate) const CONNECT: i64 = 2;
    pub(crate) const ERROR: i64 = 3;
    pub(crate) const ADD_CLIENT: i64 = 4;
    pub(crate) const REMOVE_CLIENT: i64 = 5;
    pub(crate) const PAUSE: i64 = 6;
    pub(crate) const SYNC_CONNECTIONS: i64 = 8;
    pub(crate) const SETTINGS: i64 = 32;
    pub(crate) const OPENED: i64 = 33;
    pub(crate) const FINISH: i64 = 34;
    pub(crate) const RESET: i64 = 35;
    pub(crate) const CREDIT: i64 = 36;
    pub(crate) const GO_AWAY: i64 = 37;
    pub(crate) const PING: i64 = 38;
    pub(crate) const PONG: i64 = 39;
    pub(crate) const SYNC: i64 = 40;
}

/// Appends a signed number as the wire has it: zig-zag, LEB128.
fn put(out: &mut Vec<u8>, number: i64) {
    let mut rest = (number << 1 ^ number >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// A message about a connection: its numbers and what follows them.
pub(crate) fn message(connection: i64, kind: i64, numbers: &[i64], rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [&[0, connection, kind], numbers].concat() {
        put(&mut out, number);
    }
    out.extend_from_slice(rest);
    out
}

pub(crate) fn connect(connection: i64, target: &str) -> Vec<u8> {
    message(connection, kind::CONNECT, &[0], target.as_bytes())
}

pub(crate) fn data(connection: i64, length: usize) -> Vec<u8> {
    message(connection, kind::DATA, &[0], &vec![7; length])
}

/// Messages on a byte stream.
pub(crate) fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        out.extend_from_slice(&frame_prefix(message.len()));
        out.extend_from_slice(message);
    }
    out
}

pub(crate) fn settings() -> Vec<u8> {
    message(0, kind::SETTINGS, &[1 << 15, 1 << 14, 1 << 13], b"")
}

/// A session of an agent by hand.
pub(crate) async fn join(to: SocketAddr, key: &str) -> TcpStream {
    greet(TcpStream::connect(to).await.unwrap(), key).await
}

pub(crate) async fn greet(mut socket: TcpStream, key: &str) -> TcpStream {
    let hello = Hello { version: 1, client_key: key.into(), token: TOKEN.into() };
    socket.write_all(&hello.encode()).await.unwrap();
    let mut reply = BytesMut::new();
    while HelloReply::decode(&mut reply, &PrefaceLimits::default()).unwrap().is_none() {
        // No more than that: the messages behind it stay.
        reply.put_u8(in_time("a reply", socket.read_u8()).await.unwrap());
    }
    socket
}

/// A session of a server by hand.
pub(crate) async fn accept(socket: &mut TcpStream) {
    let mut hello = BytesMut::new();
    while Hello::decode(&mut hello, &PrefaceLimits::default()).unwrap().is_none() {
        hello.put_u8(in_time("a hello", socket.read_u8()).await.unwrap());
    }
    let reply = HelloReply { version: 1, status: HelloReply::ACCEPTED, text: String::new() };
    socket.write_all(&reply.encode()).await.unwrap();
}
