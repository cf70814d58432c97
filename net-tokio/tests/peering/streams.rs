//! Streams through two servers behave as through one.

use std::error::Error;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use watertight::proto::{Cause, SessionConfig};
use watertight::{AgentBuilder, ConnectionEnd, DialError, ResetCode};

use super::{Host, echoes, end_all, join, pair, reads};
use support::{Target, agent, in_time, server, until};

#[tokio::test]
async fn each_server_dials_through_the_other() {
    let (target, (a, b)) = (Target::echo().await, pair().await);
    let agents = vec![a.agent("left").await, b.agent("right").await];
    a.finds("right", &["b"]).await;
    b.finds("left", &["a"]).await;
    for _ in 0..3 {
        echoes(in_time(a.server.dial("right", &target.target())).await.unwrap()).await;
        echoes(in_time(b.server.dial("left", &target.target())).await.unwrap()).await;
    }
    // The list contains the clients here.
    assert_eq!(a.server.clients().len(), 1);
    end_all(agents, vec![a, b]).await;
}

#[tokio::test]
async fn an_answer_after_end_of_file_arrives() {
    let (target, (a, b)) = (Target::count().await, pair().await);
    let agents = vec![a.agent("edge").await];
    b.finds("edge", &["a"]).await;
    let mut stream = in_time(b.server.dial("edge", &target.target())).await.unwrap();
    in_time(stream.write_all(&vec![1; 3 << 20])).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, (3u64 << 20).to_be_bytes());
    drop(stream);
    end_all(agents, vec![a, b]).await;
}

/// The client cannot receive the end of a direction, but its answer is still read.
#[tokio::test]
async fn an_answer_of_a_base_client_after_end_of_file_arrives() {
    let (target, (a, b)) = (Target::echo().await, pair().await);
    let (finished, is_finished) = watch::channel(false);
    let agent = agent("ws", a.at, "edge").base_dialect().dial_handler(move |dial| {
        let mut is_finished = is_finished.clone();
        async move {
            if dial.target() == "tcp/answers:1" {
                let mut stream = dial.accept().unwrap();
                is_finished.wait_for(|is| *is).await.unwrap();
                stream.read_exact(&mut vec![0; 300_000]).await.unwrap();
                stream.write_all(&vec![2; 1 << 20]).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    let agents = vec![agent.start(), a.agent("echo").await];
    b.finds("edge", &["a"]).await;
    b.finds("echo", &["a"]).await;
    let mut stream = in_time(b.server.dial("edge", "tcp/answers:1")).await.unwrap();
    in_time(stream.write_all(&[1; 300_000])).await.unwrap();
    stream.shutdown().await.unwrap();
    // Events of the same session up to now are processed behind it.
    echoes(in_time(b.server.dial("echo", &target.target())).await.unwrap()).await;
    finished.send(true).unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, vec![2; 1 << 20]);
    drop(stream);
    end_all(agents, vec![a, b]).await;
}

fn end(error: &io::Error) -> &ConnectionEnd {
    error.get_ref().and_then(|source| source.downcast_ref()).unwrap()
}

#[tokio::test]
async fn a_reset_is_passed_on_in_both_directions() {
    let (a, b) = pair().await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    let agent = agent("ws", a.at, "edge").dial_handler(move |dial| {
        let ends = ends.clone();
        async move {
            let resets = dial.target() == "resets";
            let mut stream = dial.accept().unwrap();
            stream.write_all(b"x").await.unwrap();
            if resets {
                stream.read_u8().await.unwrap();
                return stream.reset(ResetCode::from(77), "no more of this");
            }
            let error = stream.read_u8().await.unwrap_err();
            ends.send(error).unwrap();
        }
    });
    let agents = vec![agent.start()];
    b.finds("edge", &["a"]).await;

    let mut stream = in_time(b.server.dial("edge", "resets")).await.unwrap();
    assert_eq!(in_time(stream.read_u8()).await.unwrap(), b'x');
    stream.write_all(b"y").await.unwrap();
    let error = in_time(stream.read_u8()).await.unwrap_err();
    assert_eq!(error.to_string(), "no more of this");
    assert_eq!(end(&error).code, Some(ResetCode::from(77)));
    assert!(error.source().is_none_or(|source| source.to_string() == "no more of this"));

    let mut stream = in_time(b.server.dial("edge", "waits")).await.unwrap();
    assert_eq!(in_time(stream.read_u8()).await.unwrap(), b'x');
    stream.reset(ResetCode::from(78), "nor of this");
    let error = in_time(ended.recv()).await.unwrap();
    assert_eq!((end(&error).cause, end(&error).code), (Cause::RemoteReset, Some(78.into())));
    end_all(agents, vec![a, b]).await;
}

#[tokio::test]
async fn a_dropped_stream_is_dropped_everywhere() {
    let (target, (a, b)) = (Target::pour().await, pair().await);
    let agents = vec![a.agent("edge").await];
    b.finds("edge", &["a"]).await;
    let mut stream = in_time(b.server.dial("edge", &target.target())).await.unwrap();
    in_time(stream.read_u8()).await.unwrap();
    drop(stream);
    until(|| a.server.ledger().connections.live == 0).await;
    end_all(agents, vec![a, b]).await;
}

/// It cannot half-close, so that its end is that of both directions.
#[tokio::test]
async fn a_connection_that_a_base_client_ended_is_not_kept_for_an_idle_peer() {
    let mut config = SessionConfig::default();
    config.timing.linger = Duration::from_millis(50);
    let (a, b) = (Host::with("a", server().session(config)).await, Host::start("b").await);
    join(&a, &b).await;
    let agent = agent("ws", a.at, "edge").base_dialect().dial_handler(|dial| async move {
        let mut stream = dial.accept().unwrap();
        stream.write_all(b"all there is").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let agents = vec![agent.start()];
    b.finds("edge", &["a"]).await;
    let mut idle = in_time(b.server.dial("edge", "tcp/greeting:1")).await.unwrap();
    assert_eq!(reads(&mut idle).await, "all there is");
    until(|| a.server.ledger().connections.live == 0).await;
    drop(idle);
    end_all(agents, vec![a, b]).await;
}

#[tokio::test]
async fn a_refusal_of_the_target_is_the_answer() {
    let (a, b) = pair().await;
    let agents = vec![a.agent("edge").await];
    b.finds("edge", &["a"]).await;
    let error = in_time(b.server.dial("edge", "tcp/192.0.2.1:80")).await.unwrap_err();
    let DialError::Refused { code, text } = error else { panic!("{error:?}") };
    assert_eq!(code, Some(ResetCode::DIAL_REFUSED));
    assert!(text.contains("not allowed"), "{text}");
    assert_eq!(b.server.peers_of("edge"), ["a"], "the route is as good as it was");
    end_all(agents, vec![a, b]).await;
}

#[tokio::test]
async fn a_dial_that_is_given_up_is_given_up_at_the_client() {
    let (a, b) = pair().await;
    let (dials, mut dialled) = mpsc::unbounded_channel();
    let agent = agent("ws", a.at, "edge").dial_handler(move |mut dial| {
        let dials = dials.clone();
        async move {
            dials.send("asked").unwrap();
            dial.withdrawn().await;
            dials.send("withdrawn").unwrap();
        }
    });
    let agents = vec![agent.start()];
    b.finds("edge", &["a"]).await;
    let server = b.server.clone();
    let dial = tokio::spawn(async move { server.dial("edge", "nowhere").await.map(drop) });
    assert_eq!(in_time(dialled.recv()).await.unwrap(), "asked");
    dial.abort();
    assert_eq!(in_time(dialled.recv()).await.unwrap(), "withdrawn");

    let within = Some(Duration::from_millis(200));
    let error = in_time(b.server.dial_within("edge", "nowhere", within)).await.unwrap_err();
    // By the clock of either end.
    let late = match &error {
        DialError::Timeout => true,
        DialError::Refused { code, .. } => *code == Some(ResetCode::DIAL_TIMEOUT),
        _ => false,
    };
    assert!(late, "{error:?}");
    end_all(agents, vec![a, b]).await;
}

/// Earlier bytes are not waited for, because the target will never read them.
#[tokio::test]
async fn a_reset_is_passed_on_to_a_target_that_reads_nothing() {
    resets_one_that_reads_nothing(|agent| agent).await;
}

/// It is sent single bytes, as window probes.
#[tokio::test]
async fn a_reset_is_passed_on_to_a_base_client_that_reads_nothing() {
    resets_one_that_reads_nothing(AgentBuilder::base_dialect).await;
}

async fn resets_one_that_reads_nothing(speaks: fn(AgentBuilder) -> AgentBuilder) {
    let (a, b) = pair().await;
    let (sender, mut ended) = mpsc::channel(1);
    let agent = speaks(agent("ws", a.at, "edge")).dial_handler(move |dial| {
        let sender = sender.clone();
        async move {
            let mut stream = dial.accept().unwrap();
            // It sends now and then, as a live client does.
            while stream.write_all(b".").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            sender.send(()).await.unwrap();
        }
    });
    let agents = vec![agent.start()];
    b.finds("edge", &["a"]).await;
    let mut stream = in_time(b.server.dial("edge", "tcp/stalls:1")).await.unwrap();
    let filling = async { while stream.write_all(&[1; 1 << 16]).await.is_ok() {} };
    tokio::time::timeout(Duration::from_millis(500), filling).await.unwrap_err();
    stream.reset(ResetCode::CANCELLED, "given up");
    in_time(ended.recv()).await.unwrap();
    until(|| a.server.ledger().connections.live == 0).await;
    end_all(agents, vec![a, b]).await;
}
