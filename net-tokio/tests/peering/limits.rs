//! A peer that does wrong harms nobody else.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use watertight::core::registry::RegistryLimits;
use watertight::core::wire::Dialect;

use super::hand::HandPeer;
use super::support::{Target, agent, in_time, server, until};
use super::{Host, echoes, end_all, join, peer};

#[tokio::test]
async fn announcements_beyond_the_limit_change_nothing() {
    let limits = RegistryLimits { routes_per_peer: 3, ..RegistryLimits::default() };
    let (a, b) = (Host::with("a", server().registry(limits)).await, Host::start("b").await);
    join(&a, &b).await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(peer("c", nobody)).unwrap();
    let greedy = HandPeer::connect(a.at, "c", Dialect::Base, |_, _, _| {});
    let greedy = in_time(greedy).await.unwrap();
    for number in 0..100 {
        greedy.announce(&format!("edge-{number}"), number);
    }
    until(|| a.peer("c").routes == 3).await;
    let speaker = b.speaker("real", "at b").await;
    a.finds("real", &["b"]).await;
    assert_eq!(super::says(&a, "real").await, "at b");
    assert!(greedy.is_up() && a.peer("c").incoming.is_some());
    assert_eq!(a.peer("c").routes, 3);
    end_all(vec![speaker], vec![a, b]).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_delays_nobody() {
    let (target, a, b) = (Target::echo().await, Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    a.server.add_peer(peer("stalled", listener.local_addr().unwrap())).unwrap();
    // Upgraded, and never read from.
    let stalled = accept_async(in_time(listener.accept()).await.unwrap().0).await.unwrap();
    for round in 0..30 {
        // Each is announced to the one that does not read, too.
        let key = format!("edge-{round}");
        let agent = agent("tcp", a.at, &key).policy(super::support::loopback()).start();
        b.finds(&key, &["a"]).await;
        echoes(in_time(b.server.dial(&key, &target.target())).await.unwrap()).await;
        end_all(vec![agent], vec![]).await;
        b.finds(&key, &[]).await;
    }
    drop(stalled);
    end_all(vec![], vec![a, b]).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_dial_leaves_time_for_another() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    let speaker = b.speaker("edge", "at b").await;
    a.finds("edge", &["b"]).await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(peer("c", nobody)).unwrap();
    let silent = HandPeer::connect(a.at, "c", Dialect::Extended, |_, _, _| {});
    let silent = in_time(silent).await.unwrap();
    silent.announce("edge", 1);
    a.finds("edge", &["c", "b"]).await;
    let dial = a.server.dial_within("edge", "tcp/greeting:1", Some(Duration::from_secs(2)));
    let mut greeting = String::new();
    in_time(dial).await.unwrap().read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "at b");
    end_all(vec![speaker], vec![a, b]).await;
}

/// One that is connected in two places, and is stuck where it is asked first.
#[tokio::test]
async fn a_client_that_answers_no_dial_here_is_tried_through_a_peer() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    let stuck = agent("tcp", a.at, "edge").handler(|dial| async move {
        let _dial = dial;
        std::future::pending().await
    });
    let stuck = stuck.start();
    let speaker = b.speaker("edge", "at b").await;
    a.finds("edge", &["b"]).await;
    in_time(stuck.connected()).await.unwrap();
    let dial = a.server.dial_within("edge", "tcp/greeting:1", Some(Duration::from_secs(2)));
    let mut greeting = String::new();
    in_time(dial).await.unwrap().read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "at b");
    end_all(vec![stuck, speaker], vec![a, b]).await;
}
