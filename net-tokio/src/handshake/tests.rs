//! Both sides of a handshake, over a pipe.

use std::future::poll_fn;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use watertight_core::wire::{Dialect, Encoded, HelloReply, frame_prefix};

use super::*;
use crate::transport::{ByteStream, Masking, Received, Transport, WebSocketOptions};

const MAX_MESSAGE: usize = 1 << 20;

fn hello() -> ClientHello {
    let mut hello = ClientHello::new("edge-7");
    hello.set_token("secret");
    hello
}

/// Reads a request's head and returns it with its `Sec-WebSocket-Key`.
async fn read_head(io: &mut DuplexStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
    (head.clone(), key.to_string())
}

/// The result of an upgrade that is answered with `answer`, which gets the right accept key.
async fn upgrade_to(
    hello: &ClientHello,
    answer: impl Fn(&str) -> String,
) -> Result<Dialect, ConnectError> {
    let (a, mut b) = duplex(64);
    let server = async {
        let (_, key) = read_head(&mut b).await;
        let answer = answer(&derive_accept_key(key.as_bytes()));
        b.write_all(answer.as_bytes()).await.unwrap();
    };
    let options = WebSocketOptions::new(MAX_MESSAGE);
    let client = connect_web_socket(a, "host", "/connect", hello, options);
    match tokio::join!(client, server).0? {
        Connected::WebSocket(_, dialect) => Ok(dialect),
        Connected::ByteStream(_) => panic!("not a WebSocket"),
    }
}

fn switching(accept: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: keep-alive, upgrade\r\n\
         upgrade: WebSocket\r\nsec-websocket-accept: {accept}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn the_extension_is_spoken_if_the_server_confirms_it() {
    let confirmed = |accept: &str| switching(accept, "Watertight-Protocol: 1\r\n");
    assert_eq!(upgrade_to(&hello(), confirmed).await.unwrap(), Dialect::Extended);
    let silent = |accept: &str| switching(accept, "");
    assert_eq!(upgrade_to(&hello(), silent).await.unwrap(), Dialect::Base);
}

#[tokio::test]
async fn a_server_without_websockets_is_reported() {
    let wrong_key = |_: &str| switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "");
    let mut base = hello();
    base.set_base_dialect();
    for (hello, more, why) in [
        (&hello(), "Sec-WebSocket-Extensions: permessage-deflate\r\n", "extensions"),
        (&hello(), "Sec-WebSocket-Protocol: chat\r\n", "protocol"),
        (&hello(), "Watertight-Protocol: 7\r\n", "another extension"),
        (&base, "Watertight-Protocol: 1\r\n", "another extension"),
    ] {
        let error = upgrade_to(hello, |accept| switching(accept, more)).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotATunnel(_)), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    let error = upgrade_to(&hello(), wrong_key).await.unwrap_err();
    assert!(error.to_string().contains("Sec-WebSocket-Accept"), "{error}");
    let page = |_: &str| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_string();
    let error = upgrade_to(&hello(), page).await.unwrap_err();
    assert!(error.to_string().contains("200 OK"), "{error}");
    let other = |_: &str| "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n".to_string();
    let error = upgrade_to(&hello(), other).await.unwrap_err();
    assert!(error.to_string().contains("WebSocket"), "{error}");
}

#[tokio::test]
async fn a_refusal_has_the_servers_reason() {
    for (head, body, shown) in [
        ("401 Unauthorized", "unknown token\n", "refused by the server: 401: unknown token"),
        ("403 Forbidden", "", "refused by the server: 403: Forbidden"),
        (
            "302 Found\r\nLocation: wss://there/",
            "",
            "refused by the server: 302: moved to wss://there/",
        ),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let error = upgrade_to(&hello(), |_| answer.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), shown);
    }
}

#[tokio::test]
async fn our_own_server_side_answers_our_client() {
    let answer = |accept: &str| {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let request = hello().request("host", "/", key, "").unwrap();
        let accepted = upgrade::accept(&request.into_parts().0).ok().unwrap();
        let mut text = format!("HTTP/1.1 {}\r\n", accepted.response.status());
        for (name, value) in accepted.response.headers() {
            let value = value.to_str().unwrap().replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept);
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "\r\n"
    };
    assert_eq!(upgrade_to(&hello(), answer).await.unwrap(), Dialect::Extended);
}

#[tokio::test]
async fn without_masks_every_run_sends_the_same_bytes() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (a, mut b) = duplex(4096);
        let options =
            WebSocketOptions { masking: Masking::Off, ..WebSocketOptions::new(MAX_MESSAGE) };
        let hello = hello();
        let client = connect_web_socket(a, "host", "/connect", &hello, options);
        let server = async {
            let (head, key) = read_head(&mut b).await;
            let answer = switching(&derive_accept_key(key.as_bytes()), "");
            b.write_all(answer.as_bytes()).await.unwrap();
            head
        };
        let (connected, head) = tokio::join!(client, server);
        let Ok(Connected::WebSocket(mut socket, _)) = connected else { panic!() };
        let header = watertight_core::wire::data_header(watertight_core::ConnectionId::SESSION);
        socket.send(Encoded { header, payload: Bytes::from_static(b"data") }).unwrap();
        poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
        let mut frame = [0; 10];
        b.read_exact(&mut frame).await.unwrap();
        runs.push((head, frame));
    }
    assert_eq!(runs[0], runs[1]);
}

async fn first_message<I: crate::io::Io>(mut transport: ByteStream<I>) -> Bytes {
    match poll_fn(|cx| transport.poll_recv(cx)).await.unwrap() {
        Received::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_preface_opens_a_byte_stream_and_keeps_what_follows() {
    for pipe in [1, 7, 4096] {
        let (a, b) = duplex(pipe);
        let hello = hello();
        let client = connect_byte_stream(a, &hello, MAX_MESSAGE);
        let server = async {
            let (hello, pending) = receive_hello(b, MAX_MESSAGE).await.unwrap();
            assert_eq!((&*hello.client_key, &*hello.token), ("edge-7", "secret"));
            pending.accept().await.unwrap()
        };
        let (connected, _server) = tokio::join!(client, server);
        assert!(matches!(connected, Ok(Connected::ByteStream(_))));
    }
    let (mut a, b) = duplex(4096);
    let mut early = hello().preface().encode().to_vec();
    early.extend_from_slice(&frame_prefix(5));
    early.extend_from_slice(b"early");
    a.write_all(&early).await.unwrap();
    let (_, pending) = receive_hello(b, MAX_MESSAGE).await.unwrap();
    assert_eq!(first_message(pending.accept().await.unwrap()).await, "early");
}

/// The connector's error for a reply.
async fn replied(reply: &[u8]) -> ConnectError {
    let (a, mut b) = duplex(4096);
    b.write_all(reply).await.unwrap();
    b.shutdown().await.unwrap();
    connect_byte_stream(a, &hello(), MAX_MESSAGE).await.err().unwrap()
}

#[tokio::test]
async fn a_refused_hello_returns_the_reason() {
    let (a, b) = duplex(4096);
    let hello = hello();
    let client = connect_byte_stream(a, &hello, MAX_MESSAGE);
    let server = async {
        let (_, pending) = receive_hello(b, MAX_MESSAGE).await.unwrap();
        pending.refuse(401, "unknown token").await.unwrap();
    };
    let error = tokio::join!(client, server).0.err().unwrap();
    assert_eq!(error.to_string(), "refused by the server: 401: unknown token");
}

#[tokio::test]
async fn an_invalid_reply_is_reported() {
    let newer = HelloReply { version: 2, status: 0, text: String::new() };
    let error = replied(&newer.encode()).await;
    assert!(error.to_string().contains("version 2"), "{error}");
    let error = replied(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(matches!(error, ConnectError::NotATunnel(_)), "{error:?}");
    let error = replied(b"\0water").await;
    assert!(error.to_string().contains("without an answer"), "{error}");
}

#[tokio::test]
async fn an_invalid_hello_is_reported() {
    for (start, why) in [
        (&b"GET / HTTP/1.1\r\n"[..], "does not speak"),
        (b"\0watertight?\0\0\0", "version 0"),
        (b"\0watertight?\x01\xff\xff\x03", "limit"),
        (b"\0watertight?\x01", "before its hello"),
    ] {
        let (a, mut b) = duplex(4096);
        b.write_all(start).await.unwrap();
        b.shutdown().await.unwrap();
        let error = receive_hello(a, MAX_MESSAGE).await.err().unwrap();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_hello_receives_the_reason() {
    let (a, b) = duplex(8192);
    let hello = ClientHello::new(&"k".repeat(5000));
    let client = connect_byte_stream(a, &hello, MAX_MESSAGE);
    let server = async { receive_hello(b, MAX_MESSAGE).await.err().unwrap() };
    let (connected, error) = tokio::join!(client, server);
    assert!(error.to_string().contains("client key of 5000 bytes"), "{error}");
    let error = connected.err().unwrap().to_string();
    assert!(error.starts_with("refused by the server: 400: "), "{error}");
}

#[tokio::test]
async fn an_http_port_that_meets_a_preface_does_not_hang_it() {
    let (a, b) = duplex(4096);
    drop(b);
    let request = Request::get("/").body(String::new()).unwrap();
    assert!(exchange(a, request).await.is_err());
}
