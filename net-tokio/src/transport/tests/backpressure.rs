//! A remote that does not read costs bounded memory and nothing else.

use tokio::io::AsyncWriteExt;

use super::*;
use crate::transport::MAX_QUEUED;

const PIPE: usize = 1_000;

#[tokio::test]
async fn a_remote_that_does_not_read_fills_the_queue() {
    let message = numbered(0, 1_000);
    for (mut one, _other) in pairs(PIPE).await {
        let sent = fill(&mut *one, &message).await;
        let queued = sent * message.len();
        assert!(queued >= 40_000, "{queued}");
        assert!(queued <= MAX_QUEUED + PIPE + 2 * message.len(), "{queued}");
    }
}

#[tokio::test]
async fn input_does_not_wait_for_output() {
    for (mut one, mut other) in pairs(PIPE).await {
        fill(&mut *one, &numbered(0, 1_000)).await;
        other.send(data("hello")).unwrap();
        flush(&mut *other).await;
        assert_eq!(next_message(&mut *one).await, data("hello").to_bytes());
    }
}

#[tokio::test]
async fn the_queue_empties_when_the_remote_reads() {
    for (mut one, mut other) in pairs(PIPE).await {
        let sent = fill(&mut *one, &numbered(0, 1_000)).await;
        let reading = async {
            for _ in 0..sent {
                next_message(&mut *other).await;
            }
        };
        tokio::join!(reading, async {
            ready(&mut *one).await;
            flush(&mut *one).await;
        });
    }
}

/// A masked ping with the longest payload there is.
fn ping() -> Vec<u8> {
    let mut frame = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    frame.resize(6 + 125, 1);
    frame
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_within_bounds() {
    const PINGS: usize = 20_000;
    let (a, mut b) = duplex(PIPE);
    let mut transport = web_socket(a, Role::Acceptor).await;
    let flood = tokio::spawn(async move {
        for _ in 0..PINGS {
            b.write_all(&ping()).await.unwrap();
        }
        b
    });
    for _ in 0..PINGS {
        assert_eq!(recv(&mut transport).await.unwrap(), Received::Ping);
    }
    let mut reader = web_socket(flood.await.unwrap(), Role::Connector).await;
    assert!(is_ready(&mut transport).await, "nothing of ours is queued");
    transport.send(data("mine")).unwrap();
    assert!(!is_ready(&mut transport).await, "the pongs take all the room");
    tokio::join!(flush(&mut transport), pongs_until_message(&mut reader, 2 * MAX_QUEUED / 125));
}

async fn pongs_until_message(transport: &mut WebSocket<DuplexStream>, most: usize) {
    for _ in 0..most {
        match recv(transport).await.unwrap() {
            Received::Pong(_) => {}
            received => return assert_eq!(received, Received::Message(data("mine").to_bytes())),
        }
    }
    panic!("more than {most} pongs");
}
