//! The authentication of peers, and its end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Error;
use watertight::peering::{Peer, PeerDirection, PeerError};
use watertight::proto::Event;
use watertight::proto::wire::Dialect;
use watertight::{AgentStatus, DialError, ReconnectConfig, ServerEvent};

use super::hand::HandPeer;
use super::{Host, by_hand, echoes, end_all, join, pair, peer};
use support::{Target, in_time, listen, server, until};

fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// Why this server has no session with a peer that it connects to.
pub(super) async fn reason(host: &Host, id: &str) -> String {
    let mut reason = None;
    until(|| {
        if let AgentStatus::Waiting { reason: why, .. } = host.peer(id).outgoing {
            reason = Some(why.to_string());
        }
        reason.is_some()
    })
    .await;
    reason.unwrap()
}

#[tokio::test]
async fn only_a_peer_with_its_token_is_one() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    a.server.add_peer(b.as_peer()).unwrap();
    // Not known at all, then with another token.
    let unknown = reason(&a, "b").await;
    assert!(unknown.contains("401") && unknown.contains("is known, or"), "{unknown}");
    let endpoint = format!("ws://{}", a.at).parse().unwrap();
    b.server.add_peer(Peer::new(endpoint, "a", "another token").remotedialer()).unwrap();
    let refused = HandPeer::connect(b.at, "a", Dialect::Base, |_, _, _| {}).await;
    let Err(Error::Http(answer)) = refused else { panic!("it was let in") };
    let text = String::from_utf8(answer.body().clone().unwrap_or_default()).unwrap();
    assert!(answer.status() == 401 && text.contains("token is wrong"), "{answer:?}");
    assert!(b.peer("a").incoming.is_none());
    // With the right token it connects by itself.
    b.server.add_peer(a.as_peer()).unwrap();
    b.is_up_with("a").await;
    end_all(vec![], vec![a, b]).await;
}

#[tokio::test]
async fn agents_of_others_may_have_a_peers_headers() {
    let server = server().build();
    let at = listen(&server).await;
    let endpoint = format!("ws://{at}").parse().unwrap();
    let agent = watertight::Agent::builder(endpoint, "edge").token(support::TOKEN);
    let (id, with) = ("x-api-tunnel-id", "x-api-tunnel-token");
    let agent = agent
        .header(http::HeaderName::from_static(id), http::HeaderValue::from_static("edge"))
        .header(http::HeaderName::from_static(with), http::HeaderValue::from_static("other"))
        .start();
    in_time(agent.connected()).await.unwrap();
    until(|| server.client("edge").is_some()).await;
    assert!(agent.shutdown(Duration::ZERO).await.is_settled());
    assert!(server.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_server_that_connects_to_itself_is_refused() {
    let a = Host::start("a").await;
    assert_eq!(a.server.add_peer(a.as_peer()), Err(PeerError::OwnId("a".into())));
    a.server.add_peer(peer("b", a.at)).unwrap();
    let reason = reason(&a, "b").await;
    assert!(reason.contains("403") && reason.contains("this server's own"), "{reason}");
    end_all(vec![], vec![a]).await;
}

#[tokio::test]
async fn a_server_without_an_id_has_no_peers() {
    let (stranger, at) = (server().build(), nobody());
    assert_eq!(stranger.add_peer(peer("b", at)), Err(PeerError::NoIdentity));
    assert!(!stranger.remove_peer("b") && stranger.peers().is_empty());
    assert!(stranger.shutdown(Duration::ZERO).await.is_settled());
}

#[tokio::test]
async fn a_removed_peer_is_disconnected_at_once() {
    let (target, (a, b)) = (Target::echo().await, pair().await);
    let agents = vec![a.agent("left").await, b.agent("right").await];
    a.finds("right", &["b"]).await;
    b.finds("left", &["a"]).await;
    let mut ours = in_time(a.server.dial("right", &target.target())).await.unwrap();
    let mut theirs = in_time(b.server.dial("left", &target.target())).await.unwrap();

    assert!(b.server.remove_peer("a") && !b.server.remove_peer("a"));
    assert!(b.server.peers().is_empty() && b.server.peers_of("left").is_empty());
    let registry = b.server.ledger().registry;
    assert_eq!((registry.peers.live, registry.routes.live), (0, 0));
    let error = in_time(b.server.dial("left", &target.target())).await.unwrap_err();
    assert!(matches!(error, DialError::NotConnected(_)), "{error:?}");
    in_time(ours.read_u8()).await.unwrap_err();
    in_time(theirs.read_u8()).await.unwrap_err();
    // It connects again, and is no peer any more.
    until(|| {
        let outgoing = a.peer("b").outgoing;
        matches!(outgoing, AgentStatus::Waiting { reason, .. } if reason.to_string().contains("401"))
    })
    .await;
    assert!(a.peer("b").incoming.is_none());
    drop((ours, theirs));
    end_all(agents, vec![a, b]).await;
}

#[tokio::test]
async fn a_peer_that_is_removed_takes_no_other_one_along() {
    let (target, (a, b)) = (Target::echo().await, pair().await);
    let c = Host::start("c").await;
    join(&a, &c).await;
    let agents = vec![c.agent("edge").await];
    a.finds("edge", &["c"]).await;
    let stream = in_time(a.server.dial("edge", &target.target())).await.unwrap();
    assert!(a.server.remove_peer("b"));
    until(|| b.peer("a").incoming.is_none()).await;
    echoes(stream).await;
    end_all(agents, vec![a, b, c]).await;
}

#[tokio::test]
async fn the_same_peer_again_changes_nothing_and_another_one_replaces_it() {
    let (a, b) = pair().await;
    let session = a.peer("b").incoming.unwrap().session;
    a.server.add_peer(b.as_peer()).unwrap();
    assert_eq!(a.peer("b").incoming.unwrap().session, session);
    let mut events = a.server.subscribe();
    a.server.add_peer(b.as_peer().base_dialect()).unwrap();
    assert!(a.peer("b").incoming.is_none_or(|incoming| incoming.session != session));
    let mut gone = Vec::new();
    while gone.len() < 2 {
        if let ServerEvent::PeerDisconnected { id, direction, .. } =
            in_time(events.next()).await.unwrap().unwrap()
        {
            assert_eq!(id, "b");
            gone.push(direction);
        }
    }
    assert!(gone.contains(&PeerDirection::Incoming) && gone.contains(&PeerDirection::Outgoing));
    a.is_up_with("b").await;
    assert_eq!(b.peer("a").incoming.unwrap().dialect, Dialect::Base);
    end_all(vec![], vec![a, b]).await;
}

#[tokio::test]
async fn a_peer_dials_nothing_on_the_session_in_which_it_announces() {
    let a = Host::start("a").await;
    a.server.add_peer(by_hand("b", nobody())).unwrap();
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let b = HandPeer::connect(a.at, "b", Dialect::Extended, move |_, _, event| {
        if let Event::Retired { end, .. } = event {
            ends.send(end.to_string()).unwrap();
        }
    });
    let b = in_time(b).await.unwrap();
    let speaker = a.speaker("edge", "at a").await;
    b.command(|session, now| {
        session.open(now, "edge::greeting/x", None).unwrap();
    });
    let end = in_time(ended.recv()).await.unwrap();
    assert!(end.contains("takes no dials"), "{end}");
    assert!(b.is_up());
    end_all(vec![speaker], vec![a]).await;
}

#[tokio::test]
async fn a_peer_that_connects_is_connected_to_without_a_wait() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    let hour = Duration::from_secs(3600);
    let slow = ReconnectConfig { initial: hour, max: hour, ..ReconnectConfig::default() };
    a.server.add_peer(b.as_peer().reconnect(slow)).unwrap();
    reason(&a, "b").await;
    b.server.add_peer(a.as_peer()).unwrap();
    a.is_up_with("b").await;
    end_all(vec![], vec![a, b]).await;
}

#[tokio::test]
async fn a_newer_session_of_a_peer_takes_over() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    a.server.add_peer(b.as_peer().remotedialer()).unwrap();
    b.server.add_peer(a.as_peer().remotedialer()).unwrap();
    a.is_up_with("b").await;
    let before = a.peer("b").incoming.unwrap().session;
    let again = HandPeer::connect(a.at, "b", Dialect::Base, |_, _, _| {});
    let again = in_time(again).await.unwrap();
    until(|| a.peer("b").incoming.is_some_and(|incoming| incoming.session != before)).await;
    assert_eq!(a.server.ledger().registry.peers.live, 2);
    drop(again);
    end_all(vec![], vec![a, b]).await;
}
