//! Splices of sockets and tunnel streams.

mod sides;
mod streams;
mod support;

use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use watertight_core::SessionConfig;

use super::flow::CHECK;
use super::*;
use crate::kernel::TcpState;
use support::{Wry, streams};

const ALL: usize = usize::MAX;

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

async fn sleep(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_moves_one_byte_at_a_time_loses_none() {
    let (stream, mut far) = streams().await;
    let (socket, client, aborted) = Wry::new(1, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    let (up, down) = (text(5000), text(3000));
    let (sent, answer) = (up.clone(), down.clone());
    let at_the_far_end = tokio::spawn(async move {
        far.write_all(&answer).await.unwrap();
        far.shutdown().await.unwrap();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        received
    });
    let (mut read, mut write) = tokio::io::split(client);
    let writing = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    read.read_to_end(&mut received).await.unwrap();
    assert!(received == down && at_the_far_end.await.unwrap() == up);
    writing.await.unwrap();
    assert_eq!(copying.await.unwrap().unwrap(), Spliced { sent: 5000, received: 3000 });
    assert!(!aborted.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_ends_when_it_has_been_idle_for_too_long() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let start = Instant::now();
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    client.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    // Bytes that still flow restart the timeout.
    for _ in 0..3 {
        sleep(200).await;
        far.write_u8(1).await.unwrap();
        client.read_u8().await.unwrap();
    }
    let error = copying.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 3 * 200 + IDLE.as_secs());
    assert!(aborted.load(Relaxed));
    let error = far.write_u8(1).await.unwrap_err();
    assert!(error.to_string().contains("idle for too long"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_fully_open_connection_may_be_idle() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, _) = Wry::new(ALL, 64);
    tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    sleep(10 * IDLE.as_secs()).await;
    far.write_u8(1).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_ends_when_it_has_been_idle_for_too_long() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let start = Instant::now();
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    client.shutdown().await.unwrap();
    far.write_all(&text(1000)).await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(copying.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(start.elapsed(), IDLE);
    assert!(aborted.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn bytes_in_hand_are_written_before_the_tunnels_failure() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    far.write_all(&text(1000)).await.unwrap();
    sleep(1).await;
    far.reset(ResetCode::CANCELLED, "enough");
    sleep(1).await;
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert!(received == text(1000), "{} bytes", received.len());
    let error = copying.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("enough"), "{error}");
    assert!(aborted.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_socket_that_takes_nothing_is_limited() {
    let (stream, mut far) = streams().await;
    let (socket, _client, aborted) = Wry::new(ALL, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    far.write_all(&text(1000)).await.unwrap();
    sleep(1).await;
    let start = Instant::now();
    far.reset(ResetCode::CANCELLED, "enough");
    copying.await.unwrap().unwrap_err();
    assert_eq!(start.elapsed(), LAST_BYTES);
    assert!(aborted.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn the_tunnel_receives_the_failure_of_the_socket() {
    for (read_fails, write_fails) in [(true, false), (false, true)] {
        let (stream, mut far) = streams().await;
        let (mut socket, _client, aborted) = Wry::new(ALL, 64);
        (socket.read_fails, socket.write_fails) = (read_fails, write_fails);
        far.write_u8(1).await.unwrap();
        let error =
            splice(socket, stream, OnEof::HalfClose, Keepalive::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(aborted.load(Relaxed));
        let error = far.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("the cable is cut"), "{error}");
    }
}

/// A client that disconnects while its target reads nothing.
#[tokio::test(start_paused = true)]
async fn a_reset_is_seen_while_the_tunnel_takes_nothing() {
    let (stream, far) = streams().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    let more_than_all_take = vec![0; 64 << 20];
    tokio::time::timeout(CHECK * 3, client.write_all(&more_than_all_take)).await.unwrap_err();
    assert!(!copying.is_finished(), "a client may wait for as long as it likes");
    client.set_zero_linger().unwrap();
    drop(client);
    let copied = tokio::time::timeout(CHECK * 2 + LAST_BYTES, copying).await.unwrap();
    let error = copied.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    drop(far);
}

/// A client that has finished, waits for an answer, and is killed.
#[tokio::test(start_paused = true)]
async fn a_reset_after_an_end_of_file_is_seen_while_nothing_is_written() {
    let (stream, mut far) = streams().await;
    let (mut client, socket) = sockets().await;
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    client.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    sleep(60).await;
    assert!(!copying.is_finished(), "the answer may take its time");
    client.set_zero_linger().unwrap();
    drop(client);
    let start = Instant::now();
    let error = copying.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(start.elapsed() <= CHECK, "{:?}", start.elapsed());
    far.write_u8(1).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn dropping_a_copy_resets_both_sides() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let copying = splice(socket, stream, OnEof::HalfClose, Keepalive::default());
    client.write_u8(1).await.unwrap();
    tokio::time::timeout(Duration::from_secs(1), copying).await.unwrap_err();
    assert!(aborted.load(Relaxed));
    let error = far.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_half_closed_the_end_of_the_socket_ends_both() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::Close, Keepalive::default()));
    client.write_all(b"all of it").await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"all of it");
    assert_eq!(copying.await.unwrap().unwrap(), Spliced { sent: 9, received: 0 });
    assert!(!aborted.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_ends_before_it_has_everything_sees_no_clean_end() {
    let (stream, mut far) = streams().await;
    let (socket, mut target, aborted) = Wry::new(ALL, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::Close, Keepalive::default()));
    far.write_all(&[7; 1000]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    target.shutdown().await.unwrap();
    copying.await.unwrap().unwrap();
    assert!(aborted.load(Relaxed));
}

/// A client's and a target's socket on loopback.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (socket, listener.accept().await.unwrap().0)
}

/// The bytes that the far end of the tunnel reads, and the error at their end.
async fn read_all(far: &mut TunnelStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut received = Vec::new();
    loop {
        match far.read_bytes(ALL).await {
            Ok(Some(data)) => received.extend_from_slice(&data),
            Ok(None) => return (received, None),
            Err(error) => return (received, Some(error.kind())),
        }
    }
}

#[tokio::test]
async fn n1_bytes_before_a_sockets_reset_are_passed_on() {
    for length in [12, 60_000] {
        let (stream, mut far) = streams().await;
        let (mut target, socket) = sockets().await;
        target.write_all(&text(length)).await.unwrap();
        target.set_zero_linger().unwrap();
        drop(target);
        // A write reports the reset first.
        far.write_u8(1).await.unwrap();
        tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
        let (received, end) = read_all(&mut far).await;
        assert!(received == text(length), "{} of {length} bytes", received.len());
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
}

/// A target that answers, finishes, and closes with unread input, all before the splice runs.
#[tokio::test(start_paused = true)]
async fn n1_an_end_before_a_reset_is_passed_on_as_an_end() {
    let (stream, mut far) = streams().await;
    let (mut target, socket) = sockets().await;
    far.write_all(&text(100)).await.unwrap();
    target.write_u8(7).await.unwrap();
    target.shutdown().await.unwrap();
    target.set_zero_linger().unwrap();
    drop(target);
    // Until the bytes to the target have arrived.
    sleep(1).await;
    tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    assert_eq!(read_all(&mut far).await, (vec![7], None));
}

#[tokio::test(start_paused = true)]
async fn n1_a_socket_that_takes_nothing_more_is_read_on() {
    let (stream, mut far) = streams().await;
    let (mut socket, mut target, aborted) = Wry::new(ALL, 64);
    socket.write_fails = true;
    far.write_u8(1).await.unwrap();
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    let answering = tokio::spawn(async move {
        for part in text(100_000).chunks(1000) {
            target.write_all(part).await.unwrap();
            tokio::time::sleep(READ_ON / 2).await;
        }
    });
    let (received, end) = read_all(&mut far).await;
    assert!(received == text(100_000), "{} bytes", received.len());
    assert_eq!(end, Some(ErrorKind::ConnectionReset), "an end after a failure is none");
    answering.await.unwrap();
    let error = copying.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the cable is cut");
    assert!(aborted.load(Relaxed));
}

#[tokio::test]
async fn n1_the_last_bytes_reach_a_client_that_reads_later_than_the_reset() {
    let (stream, mut far) = streams().await;
    let (mut client, socket) = sockets().await;
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    // Unread bytes of the client make any close of the socket a reset.
    client.write_all(b"request").await.unwrap();
    far.read_exact(&mut [0; 7]).await.unwrap();
    let answer = text(100_000);
    far.write_all(&answer).await.unwrap();
    far.reset(ResetCode::CANCELLED, "enough");
    client.write_all(b"more").await.ok();
    copying.await.unwrap().unwrap_err();
    let mut received = Vec::new();
    let end = client.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    assert!(received == answer, "{} bytes", received.len());
}

/// The kernel of a socket whose remote has acknowledged nothing so far.
fn kernel_of(socket: &mut Wry) -> Arc<Mutex<TcpState>> {
    let state = TcpState {
        acked: 0,
        received: 0,
        unacked: true,
        silent_for: Duration::ZERO,
        received_ago: Duration::ZERO,
        owes_answer: true,
    };
    let kernel = Arc::new(Mutex::new(state));
    socket.kernel = Some(Arc::clone(&kernel));
    kernel
}

/// A client on a slow link, whose socket accepts nothing new while its queue moves.
#[tokio::test(start_paused = true)]
async fn n3_the_last_bytes_wait_for_as_long_as_the_remote_takes_some() {
    let (stream, mut far) = streams().await;
    let (mut socket, _client, aborted) = Wry::new(ALL, 64);
    let kernel = kernel_of(&mut socket);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    far.write_all(&text(1000)).await.unwrap();
    sleep(1).await;
    far.reset(ResetCode::CANCELLED, "enough");
    let start = Instant::now();
    for _ in 0..20 {
        sleep(1).await;
        kernel.lock().unwrap().acked += 1;
    }
    assert!(!copying.is_finished(), "given up while its remote takes bytes");
    copying.await.unwrap().unwrap_err();
    assert!(start.elapsed() <= Duration::from_secs(20) + LAST_BYTES * 2);
    assert!(aborted.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_socket_that_takes_single_bytes_is_limited() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    far.write_all(&text(1000)).await.unwrap();
    sleep(1).await;
    far.reset(ResetCode::CANCELLED, "enough");
    let start = Instant::now();
    let dripping = tokio::spawn(async move {
        while client.read_u8().await.is_ok() {
            sleep(1).await;
        }
    });
    copying.await.unwrap().unwrap_err();
    assert!(start.elapsed() <= LAST_BYTES * 2, "{:?}", start.elapsed());
    assert!(aborted.load(Relaxed));
    dripping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_ends_with_what_nobody_reads_any_more() {
    let (stream, mut far) = streams().await;
    let (socket, mut client, aborted) = Wry::new(ALL, 64);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    far.write_all(b"all of it").await.unwrap();
    far.shutdown().await.unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"all of it");
    sleep(10).await;
    assert!(!copying.is_finished(), "somebody may still read");
    let start = Instant::now();
    drop(far);
    copying.await.unwrap().unwrap();
    assert_eq!(start.elapsed(), SessionConfig::default().timing.linger);
    assert!(!aborted.load(Relaxed));
}

/// A close that resets, or leaves input unread, discards unacknowledged bytes.
#[tokio::test(start_paused = true)]
async fn a_socket_is_settled_before_a_close_that_would_drop_something() {
    let linger = SessionConfig::default().timing.linger;
    for (end, ends_after, settles) in [
        ("the tunnel fails", Duration::ZERO, true),
        ("nobody reads what the client would send", linger, true),
        ("the client ends", Duration::ZERO, false),
    ] {
        let (stream, mut far) = streams().await;
        let (mut socket, mut client, _) = Wry::new(ALL, 64);
        let kernel = kernel_of(&mut socket);
        let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
        far.write_all(&text(50)).await.unwrap();
        sleep(1).await;
        if end == "the client ends" {
            client.shutdown().await.unwrap();
            assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        }
        let start = Instant::now();
        if end == "the tunnel fails" {
            far.reset(ResetCode::CANCELLED, "enough");
        } else {
            far.shutdown().await.unwrap();
            drop(far);
        }
        let acknowledged = ends_after + LAST_BYTES / 2;
        let acknowledging = tokio::spawn(async move {
            tokio::time::sleep(acknowledged).await;
            kernel.lock().unwrap().unacked = false;
        });
        copying.await.unwrap().ok();
        let took = start.elapsed();
        if settles {
            assert!(
                took >= acknowledged && took < acknowledged + LAST_BYTES / 2,
                "{end}: {took:?}"
            );
        } else {
            assert_eq!(took, ends_after, "{end}");
        }
        acknowledging.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_kernel_is_not_asked_about_an_idle_connection() {
    let (stream, mut far) = streams().await;
    let (mut socket, mut client, _) = Wry::new(ALL, 64);
    kernel_of(&mut socket).lock().unwrap().unacked = false;
    let asked = Arc::clone(&socket.asked);
    tokio::spawn(splice(socket, stream, OnEof::HalfClose, Keepalive::default()));
    far.write_u8(1).await.unwrap();
    client.read_u8().await.unwrap();
    sleep(60).await;
    let before = asked.load(Relaxed);
    sleep(3600).await;
    assert_eq!(asked.load(Relaxed), before);
}

#[test]
fn a_machine_that_no_longer_answers_has_a_code_of_its_own() {
    for kind in [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable] {
        let (code, error) = reset_for(kind.into());
        assert_eq!((code, error.kind()), (ResetCode::VANISHED, ErrorKind::TimedOut));
    }
    let (code, error) = reset_for(ErrorKind::ConnectionReset.into());
    assert_eq!((code, error.kind()), (ResetCode::CANCELLED, ErrorKind::ConnectionReset));
}

/// A client whose machine has vanished, with bytes in flight to it.
#[tokio::test(start_paused = true)]
async fn n2_a_socket_that_is_silent_for_too_long_has_vanished() {
    let keepalive = Keepalive::default();
    let (stream, mut far) = streams().await;
    let (mut socket, mut client, aborted) = Wry::new(ALL, 64);
    let kernel = kernel_of(&mut socket);
    let copying = tokio::spawn(splice(socket, stream, OnEof::HalfClose, keepalive));
    far.write_u8(1).await.unwrap();
    client.read_u8().await.unwrap();
    sleep(60).await;
    assert!(!copying.is_finished(), "an answer is owed for a short while only");
    kernel.lock().unwrap().silent_for = keepalive.time().unwrap();
    let start = Instant::now();
    let error = copying.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no longer answers"), "{error}");
    assert!(start.elapsed() <= CHECK + LAST_BYTES, "{:?}", start.elapsed());
    assert!(aborted.load(Relaxed));
    let error = far.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("no longer answers"), "{error}");
}
