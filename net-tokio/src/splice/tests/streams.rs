//! Splices of two tunnel streams, as a server makes them for its peers.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::super::*;
use crate::session::tests::Pair;
use crate::stream::WriteHalf;

/// A dialler and a target, and the splice between them.
struct Relayed {
    pairs: [Pair; 2],
    dialler: TunnelStream,
    target: TunnelStream,
    relay: tokio::task::JoinHandle<()>,
}

impl Relayed {
    async fn start() -> Self {
        let (mut one, mut other) = (Pair::start(), Pair::start());
        let ((near, dialler), (far, target)) = (one.connection().await, other.connection().await);
        // As for a dial that was accepted: the target is the first side.
        let relay = tokio::spawn(async move {
            splice(far, near, OnEof::HalfClose, Keepalive::OFF).await.ok();
        });
        Self { pairs: [one, other], dialler, target, relay }
    }

    async fn end(self) {
        drop((self.dialler, self.target));
        self.relay.await.unwrap();
        for pair in self.pairs {
            pair.end().await;
        }
    }
}

/// More than the windows of both connections hold.
const MUCH: usize = 8 << 20;

async fn write(mut stream: WriteHalf) -> io::Result<WriteHalf> {
    stream.write_all(&vec![7; MUCH]).await?;
    stream.shutdown().await?;
    Ok(stream)
}

#[tokio::test(start_paused = true)]
async fn a_reader_may_pause_for_an_hour() {
    let relayed = Relayed::start().await;
    let (mut read, rest) = relayed.dialler.into_split();
    let (target_read, write_half) = relayed.target.into_split();
    let writing = tokio::spawn(write(write_half));
    sleep(Duration::from_secs(3600)).await;
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), MUCH);
    drop((read, rest, target_read, writing.await.unwrap().unwrap()));
    relayed.relay.await.unwrap();
    for pair in relayed.pairs {
        pair.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_has_finished_still_receives() {
    let mut relayed = Relayed::start().await;
    relayed.target.shutdown().await.unwrap();
    assert_eq!(relayed.dialler.read_bytes(1).await.unwrap(), None);
    sleep(IDLE / 2).await;
    relayed.dialler.write_all(b"to the end").await.unwrap();
    relayed.dialler.shutdown().await.unwrap();
    let mut received = String::new();
    relayed.target.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "to the end");
    relayed.end().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_before_a_failure_flow_as_long_as_they_are_read() {
    let mut relayed = Relayed::start().await;
    // As much as all buffers hold.
    let (written, filling) = (AtomicUsize::new(0), relayed.target.control());
    let fill = async {
        loop {
            relayed.target.write_all(&[7; 1000]).await.unwrap();
            written.fetch_add(1000, Relaxed);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), fill).await.unwrap_err();
    filling.reset(ResetCode::DIAL_FAILED, "on purpose");
    let (begun, mut received) = (Instant::now(), 0);
    let error = loop {
        match relayed.dialler.read_bytes(4_000).await {
            Ok(Some(piece)) => received += piece.len(),
            Ok(None) => panic!("a clean end"),
            Err(error) => break error,
        }
        sleep(LAST_BYTES / 12).await;
    };
    assert_eq!(error.to_string(), "on purpose");
    assert!(received >= written.load(Relaxed), "{received} of {written:?}");
    assert!(begun.elapsed() > LAST_BYTES * 3 / 2, "{:?}", begun.elapsed());
    relayed.end().await;
}
