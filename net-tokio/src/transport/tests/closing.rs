//! Closing in order.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn the_last_message_arrives_before_the_end() {
    for (mut one, mut other) in pairs(64).await {
        one.send(data("last words")).unwrap();
        let peer = async {
            assert_eq!(next_message(&mut *other).await, data("last words").to_bytes());
            let received = recv(&mut *other).await.unwrap();
            assert!(matches!(received, Received::Closed { .. }), "{received:?}");
            close(&mut *other, "").await;
        };
        tokio::join!(close(&mut *one, "bye"), peer);
        close(&mut *one, "again").await;
    }
}

#[tokio::test]
async fn both_ends_may_close_at_once() {
    for (mut one, mut other) in pairs(64).await {
        tokio::join!(close(&mut *one, "bye"), close(&mut *other, "bye"));
    }
}

#[tokio::test]
async fn input_does_not_delay_the_close() {
    for (mut one, mut other) in pairs(64).await {
        let peer = async {
            for number in 0..100 {
                ready(&mut *other).await;
                other.send(numbered(number, 1_000)).unwrap();
            }
            flush(&mut *other).await;
            close(&mut *other, "").await;
        };
        tokio::join!(close(&mut *one, "bye"), peer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_does_not_read_leaves_the_close_to_the_deadline() {
    for (mut one, _other) in pairs(1_000).await {
        fill(&mut *one, &numbered(0, 1_000)).await;
        let deadline = std::time::Duration::from_secs(5);
        let closing = tokio::time::timeout(deadline, close(&mut *one, "bye"));
        assert!(closing.await.is_err());
    }
}

#[tokio::test]
async fn a_websocket_closes_with_its_reason() {
    let (mut one, mut other) = web_sockets(1_000).await;
    let long = "é".repeat(100);
    let peer = async {
        let Ok(Received::Closed { reason }) = recv(&mut other).await else { panic!() };
        assert!(reason.ends_with(&format!("1000: {}", "é".repeat(61))), "{reason}");
        drop(other);
    };
    tokio::join!(close(&mut one, &long), peer);
}

#[tokio::test]
async fn a_flood_of_pongs_does_not_eat_the_close() {
    let (a, mut b) = duplex(100_000_000);
    let mut transport = web_socket(a, Role::Acceptor).await;
    for _ in 0..5_000 {
        b.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    }
    for _ in 0..5_000 {
        recv(&mut transport).await.unwrap();
    }
    let mut all = Vec::new();
    let peer = async {
        b.shutdown().await.unwrap();
        b.read_to_end(&mut all).await.unwrap();
    };
    tokio::join!(close(&mut transport, "bye"), peer);
    assert!(all.ends_with(b"\x88\x05\x03\xe8bye"), "{:?}", &all[all.len() - 9..]);
}
