//! Peers that speak the base dialect, as remotedialer's do.

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use watertight::DialError;
use watertight::proto::Event;
use watertight::proto::registry::no_such_client;
use watertight::proto::session::OpenError;
use watertight::proto::wire::{Dialect, ResetCode};

use super::hand::HandPeer;
use super::{Host, by_hand, echoes, end_all, text_of};
use support::{Target, in_time, until};

async fn base_pair() -> (Host, Host) {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    a.server.add_peer(b.as_peer().base_dialect()).unwrap();
    b.server.add_peer(a.as_peer().base_dialect()).unwrap();
    a.is_up_with("b").await;
    b.is_up_with("a").await;
    (a, b)
}

#[tokio::test]
async fn dials_cross_in_the_base_dialect_too() {
    let (target, (a, b)) = (Target::echo().await, base_pair().await);
    let agents = vec![a.agent("left").await, b.agent("right").await];
    let speaker = a.speaker("edge", "at a").await;
    a.finds("right", &["b"]).await;
    b.finds("left", &["a"]).await;
    b.finds("edge", &["a"]).await;
    echoes(in_time(a.server.dial("right", &target.target())).await.unwrap()).await;
    echoes(in_time(b.server.dial("left", &target.target())).await.unwrap()).await;
    // The end of the answer ends the connection, at once.
    assert_eq!(text_of(&b, "edge").await, "at a");
    until(|| b.server.ledger().connections.live == 0).await;
    end_all(agents, vec![]).await;
    end_all(vec![speaker], vec![a, b]).await;
}

#[tokio::test]
async fn a_key_that_a_base_peer_would_take_for_another_one_is_not_announced() {
    let (a, b) = base_pair().await;
    let (odd, plain) = (a.speaker("a/b", "odd").await, a.speaker("plain", "plain").await);
    b.finds("plain", &["a"]).await;
    assert_eq!(b.peer("a").routes, 1);
    end_all(vec![odd, plain], vec![a, b]).await;
}

#[tokio::test]
async fn a_target_that_is_too_long_for_a_base_peer_is_named_as_that() {
    let (a, b) = base_pair().await;
    let speaker = a.speaker("edge", "at a").await;
    b.finds("edge", &["a"]).await;
    let target = format!("tcp/{}:1", "long".repeat(1000));
    let error = in_time(b.server.dial("edge", &target)).await.unwrap_err();
    assert!(matches!(error, DialError::NotSent(OpenError::TargetTooLong { .. })), "{error:?}");
    end_all(vec![speaker], vec![a, b]).await;
}

/// It answers no dial; the error arrives on the stream.
#[tokio::test]
async fn a_base_peer_that_lost_a_client_is_not_dialled_for_it_again() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    super::join(&a, &b).await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    b.server.add_peer(by_hand("go", nobody)).unwrap();
    let go = HandPeer::connect(b.at, "go", Dialect::Base, |core, now, event| {
        if let Event::Incoming { id, target, .. } = event {
            let (client, _) = target.split_once("::").unwrap();
            let words = no_such_client(client);
            core.refuse(now, id, ResetCode::DIAL_FAILED, &words).unwrap();
        }
    });
    let go = in_time(go).await.unwrap();
    go.announce("edge", 7);
    b.finds("edge", &["go"]).await;
    let speaker = a.speaker("edge", "at a").await;
    b.finds("edge", &["go", "a"]).await;
    let mut lost = in_time(b.server.dial("edge", "tcp/greeting:1")).await.unwrap();
    let error = in_time(lost.read_u8()).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to find Session for client edge");
    b.finds("edge", &["a"]).await;
    assert_eq!(text_of(&b, "edge").await, "at a");
    assert!(go.is_up());
    drop(lost);
    end_all(vec![speaker], vec![a, b]).await;
}

#[tokio::test]
async fn a_base_peer_gets_its_own_error_for_a_missing_client() {
    let (a, listener) = (Host::start("a").await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    a.server.add_peer(by_hand("go", listener.local_addr().unwrap())).unwrap();
    let (events, mut seen) = mpsc::unbounded_channel();
    let go = in_time(HandPeer::accept(&listener, move |_, _, event| drop(events.send(event))));
    let go = go.await;
    // Another peer has it: that is not here.
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(by_hand("other", nobody)).unwrap();
    let other = HandPeer::connect(a.at, "other", Dialect::Base, |_, _, _| {});
    let other = in_time(other).await.unwrap();
    other.announce("ghost", 1);
    a.finds("ghost", &["other"]).await;
    for target in ["ghost::tcp/127.0.0.1:80", "tcp/127.0.0.1:80"] {
        go.command(move |session, now| {
            session.open(now, target, None).unwrap();
        });
        let end = loop {
            if let Event::Retired { end, .. } = in_time(seen.recv()).await.unwrap() {
                break end.to_string();
            }
        };
        let words = ["failed to find Session for client ghost", "without a client key"];
        assert!(words.iter().any(|words| end.contains(words)), "{end}");
    }
    assert!(go.is_up());
    end_all(vec![], vec![a]).await;
}
