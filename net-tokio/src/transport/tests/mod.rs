//! Transports over pipes of a few bytes.

mod backpressure;
mod closing;
mod messages;

use std::future::poll_fn;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::io::{DuplexStream, duplex};
use watertight_core::ConnectionId;
use watertight_core::Role;
use watertight_core::wire::{Body, Encoded, Message};

use super::{
    ByteStream, Masking, Received, Transport, TransportError, WebSocket, WebSocketOptions,
};
use crate::io::Io;

pub(super) const MAX_MESSAGE: usize = 1 << 20;

pub(super) const OPTIONS: WebSocketOptions = WebSocketOptions::new(MAX_MESSAGE);

/// Both ends of a transport, over a pipe that holds `pipe` bytes.
type Pair = (Box<dyn Transport>, Box<dyn Transport>);

/// Every kind of transport.
pub(super) async fn pairs(pipe: usize) -> Vec<Pair> {
    let (a, b) = byte_streams(pipe);
    let (c, d) = web_sockets(pipe).await;
    let (e, f) = duplex(pipe);
    let unmasked = WebSocketOptions { masking: Masking::Off, ..OPTIONS };
    let e = WebSocket::new(e, Bytes::new(), Role::Connector, unmasked).await;
    let f = WebSocket::new(f, Bytes::new(), Role::Acceptor, unmasked).await;
    vec![(Box::new(a), Box::new(b)), (Box::new(c), Box::new(d)), (Box::new(e), Box::new(f))]
}

pub(super) fn byte_streams(pipe: usize) -> (ByteStream<DuplexStream>, ByteStream<DuplexStream>) {
    let (a, b) = duplex(pipe);
    (byte_stream(a), byte_stream(b))
}

pub(super) fn byte_stream<I: Io>(io: I) -> ByteStream<I> {
    ByteStream::new(io, BytesMut::new(), MAX_MESSAGE)
}

/// The connector's end, then the acceptor's.
pub(super) async fn web_sockets(pipe: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (a, b) = duplex(pipe);
    (web_socket(a, Role::Connector).await, web_socket(b, Role::Acceptor).await)
}

pub(super) async fn web_socket<I: Io>(io: I, role: Role) -> WebSocket<I> {
    WebSocket::new(io, Bytes::new(), role, OPTIONS).await
}

pub(super) async fn recv<T: Transport + ?Sized>(
    transport: &mut T,
) -> Result<Received, TransportError> {
    poll_fn(|cx| transport.poll_recv(cx)).await
}

pub(super) async fn ready<T: Transport + ?Sized>(transport: &mut T) {
    poll_fn(|cx| transport.poll_ready(cx)).await.unwrap();
}

pub(super) async fn flush<T: Transport + ?Sized>(transport: &mut T) {
    poll_fn(|cx| transport.poll_flush(cx)).await.unwrap();
}

pub(super) async fn close<T: Transport + ?Sized>(transport: &mut T, reason: &str) {
    poll_fn(|cx| transport.poll_close(cx, reason)).await.unwrap();
}

pub(super) async fn is_ready<T: Transport + ?Sized>(transport: &mut T) -> bool {
    poll_fn(|cx| Poll::Ready(transport.poll_ready(cx).is_ready())).await
}

/// Sends until the transport is not ready, and returns the number of messages.
pub(super) async fn fill<T: Transport + ?Sized>(transport: &mut T, message: &Encoded) -> usize {
    let mut sent = 0;
    while is_ready(transport).await {
        transport.send(message.clone()).unwrap();
        sent += 1;
    }
    sent
}

pub(super) async fn next_message<T: Transport + ?Sized>(transport: &mut T) -> Bytes {
    match recv(transport).await.unwrap() {
        Received::Message(message) => message,
        other => panic!("{other:?} instead of a message"),
    }
}

pub(super) fn data(bytes: impl Into<Bytes>) -> Encoded {
    let payload = bytes.into();
    Message::new(ConnectionId::SESSION, Body::Data { deadline: 0, payload }).encode()
}

/// A message that contains its number, so that a mix-up is detected.
pub(super) fn numbered(number: usize, len: usize) -> Encoded {
    let mut bytes = number.to_string().into_bytes();
    bytes.resize(len.max(bytes.len()), b'.');
    data(bytes)
}
