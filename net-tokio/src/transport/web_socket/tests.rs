//! The WebSocket's limits, violations, fragments and closing.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::transport::tests::{
    MAX_MESSAGE, OPTIONS, close, data, flush, next_message, numbered, recv, web_socket, web_sockets,
};

/// An acceptor, and the bare remote of its pipe.
async fn acceptor() -> (WebSocket<DuplexStream>, DuplexStream) {
    let (a, b) = duplex(1_000);
    (web_socket(a, Role::Acceptor).await, b)
}

#[tokio::test]
async fn bytes_beyond_the_handshake_come_first() {
    let (a, mut b) = duplex(64);
    let leftover = Bytes::from_static(&[0x82, 0x80 | 2, 0, 0, 0, 0, b'h']);
    let mut transport = WebSocket::new(a, leftover, Role::Acceptor, OPTIONS).await;
    b.write_all(b"i").await.unwrap();
    assert_eq!(next_message(&mut transport).await, "hi");
}

#[tokio::test]
async fn fragments_make_one_message() {
    let (mut transport, mut b) = acceptor().await;
    b.write_all(b"\x02\x81\0\0\0\0h\x89\x80\0\0\0\0\x80\x81\0\0\0\0i").await.unwrap();
    assert_eq!(recv(&mut transport).await.unwrap(), Received::Ping);
    assert_eq!(next_message(&mut transport).await, "hi");
}

/// The error, and the code of the Close that answers it.
async fn refused(bytes: &[u8]) -> (String, u16) {
    let (mut transport, mut b) = acceptor().await;
    b.write_all(bytes).await.unwrap();
    let error = recv(&mut transport).await.unwrap_err();
    assert!(matches!(error, TransportError::Invalid(_)), "{error:?}");
    let mut answer = Vec::new();
    let peer = async {
        b.shutdown().await.unwrap();
        b.read_to_end(&mut answer).await.unwrap();
    };
    tokio::join!(close(&mut transport, "no"), peer);
    assert_eq!((answer[0], answer[1]), (0x88, 4));
    (error.to_string(), u16::from_be_bytes([answer[2], answer[3]]))
}

#[tokio::test]
async fn violations_are_answered_with_their_close_code() {
    for (bytes, code) in [
        (&b"\x81\x81\0\0\0\0x"[..], 1003),               // text
        (b"\x81\x81\0\0\0\0\xff", 1007),                 // text that is none
        (b"\x82\x01x", 1002),                            // not masked
        (b"\xc2\x81\0\0\0\0x", 1002),                    // a reserved bit
        (b"\x83\x81\0\0\0\0x", 1002),                    // an opcode that does not exist
        (b"\x80\x81\0\0\0\0x", 1002),                    // the continuation of nothing
        (b"\x09\x81\0\0\0\0x", 1002),                    // a ping in fragments
        (b"\x82\xff\0\0\0\0\0\x10\0\x01\0\0\0\0", 1009), // one byte beyond the limit
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
    ] {
        let (error, sent) = refused(bytes).await;
        assert_eq!(sent, code, "{error}");
        assert!(error.starts_with("the remote "), "{error}");
    }
}

#[tokio::test]
async fn fragments_count_together() {
    let (a, mut b) = duplex(4 * MAX_MESSAGE);
    let mut transport = web_socket(a, Role::Acceptor).await;
    for start in [0x02, 0x00] {
        b.write_all(&[start, 0xff, 0, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0]).await.unwrap();
        b.write_all(&vec![0; 0xc_0000]).await.unwrap();
    }
    let error = recv(&mut transport).await.unwrap_err();
    assert!(matches!(error, TransportError::Invalid(_)), "{error:?}");
}

#[tokio::test]
async fn an_end_without_close_is_a_failure_of_the_path() {
    for start in [&b""[..], b"\x82\x82\0\0\0\0x"] {
        let (mut transport, mut b) = acceptor().await;
        b.write_all(start).await.unwrap();
        drop(b);
        let error = recv(&mut transport).await.unwrap_err();
        let TransportError::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_close_is_over_when_it_is_answered() {
    let (mut transport, mut b) = acceptor().await;
    // Messages in flight, and the answer; the socket stays open.
    b.write_all(b"\x82\x81\0\0\0\0x\x89\x80\0\0\0\0\x88\x80\0\0\0\0").await.unwrap();
    let closing = close(&mut transport, "done");
    tokio::time::timeout(Duration::from_secs(10), closing).await.unwrap();
    b.write_all(b"?").await.unwrap();
}

#[tokio::test]
async fn pings_are_answered() {
    let (mut one, mut other) = web_sockets(1_000).await;
    one.send_ping(Bytes::from_static(b"12345678")).unwrap();
    flush(&mut one).await;
    assert_eq!(recv(&mut other).await.unwrap(), Received::Ping);
    flush(&mut other).await;
    let pong = Received::Pong(Bytes::from_static(b"12345678"));
    assert_eq!(recv(&mut one).await.unwrap(), pong);
}

#[tokio::test]
async fn without_masks_the_bytes_are_always_the_same() {
    let (a, mut b) = duplex(64);
    let options = WebSocketOptions { masking: Masking::Off, ..OPTIONS };
    let mut transport = WebSocket::new(a, Bytes::new(), Role::Connector, options).await;
    transport.send(data("hi")).unwrap();
    flush(&mut transport).await;
    let mut bytes = [0; 8];
    b.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, *b"\x82\x06\0\0\x02\0hi");
}

#[tokio::test]
async fn nothing_overtakes_messages_that_did_not_fit() {
    let (mut one, mut other) = web_sockets(1_000).await;
    // The third one waits, though the last one would fit.
    for (number, length) in [60_000, 60_000, 60_000, 4].into_iter().enumerate() {
        one.send(numbered(number, length)).unwrap();
    }
    let received = async {
        let mut received = Vec::new();
        for _ in 0..4 {
            received.push(next_message(&mut other).await);
        }
        received
    };
    let (_, received) = tokio::join!(flush(&mut one), received);
    for (number, length) in [60_000, 60_000, 60_000, 4].into_iter().enumerate() {
        assert!(received[number] == numbered(number, length).to_bytes(), "in place of {number}");
    }
}
