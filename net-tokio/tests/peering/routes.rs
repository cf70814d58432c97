//! The routes of a client's dials.

use std::time::Duration;

use tokio::net::TcpStream;
use watertight::peering::Peer;
use watertight::proto::Event;
use watertight::proto::wire::{ClientRoute, Dialect};
use watertight::{DialError, ResetCode};

use super::hand::HandPeer;
use super::{Host, by_hand, end_all, join, pair, reconnect, text_of, token};
use support::{in_time, until};

#[tokio::test]
async fn a_key_may_have_any_character() {
    let (a, b) = pair().await;
    for key in ["a/b", "a::tcp/b", ":", "100%", "%2F", "Küche: 2. Stock/links", "ключ"] {
        let speaker = a.speaker(key, "here").await;
        b.finds(key, &["a"]).await;
        assert_eq!(text_of(&b, key).await, "here", "{key}");
        end_all(vec![speaker], vec![]).await;
        b.finds(key, &[]).await;
    }
    end_all(vec![], vec![a, b]).await;
}

#[tokio::test]
async fn a_peer_is_reached_by_the_embedders_own_means() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    let at = b.at;
    let own_means = Peer::new("ws://nowhere.invalid".parse().unwrap(), "b", &token("b"))
        .reconnect(reconnect())
        .seed(7)
        .connect_with(move || TcpStream::connect(at));
    a.server.add_peer(own_means.clone()).unwrap();
    b.server.add_peer(a.as_peer()).unwrap();
    a.is_up_with("b").await;
    let speaker = a.speaker("edge", "here").await;
    b.finds("edge", &["a"]).await;
    assert_eq!(text_of(&b, "edge").await, "here");
    // The same one again changes nothing.
    a.server.add_peer(own_means).unwrap();
    assert_eq!(a.server.ledger().registry.peers.added, 2);
    end_all(vec![speaker], vec![a, b]).await;
}

#[tokio::test]
async fn attempts_to_connect_to_a_peer_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (a, b) = pair().await;
    let shown = recorder.handle().render();
    for name in ["attempt", "connected"] {
        let line = format!("session_server_total_peer_ws_{name}{{peer=\"b\"}} 1\n");
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    end_all(vec![], vec![a, b]).await;
    let line = "session_server_total_peer_ws_disconnected{peer=\"b\"} 1\n";
    assert!(recorder.handle().render().contains(line));
}

#[tokio::test]
async fn an_agent_that_moves_is_found_where_it_is() {
    let (a, b) = pair().await;
    let c = Host::start("c").await;
    join(&a, &c).await;
    join(&b, &c).await;
    let first = a.speaker("edge", "at a").await;
    c.finds("edge", &["a"]).await;
    assert_eq!(text_of(&c, "edge").await, "at a");
    // Both servers announce it for a while: the first one is preferred, as long as it answers.
    let second = b.speaker("edge", "at b").await;
    c.finds("edge", &["a", "b"]).await;
    assert_eq!(text_of(&c, "edge").await, "at a");
    end_all(vec![first], vec![]).await;
    c.finds("edge", &["b"]).await;
    assert_eq!(text_of(&c, "edge").await, "at b");
    // The server's own session precedes all.
    let third = c.speaker("edge", "at c").await;
    until(|| c.server.client("edge").is_some()).await;
    assert_eq!(text_of(&c, "edge").await, "at c");
    end_all(vec![third], vec![]).await;
    assert_eq!(text_of(&c, "edge").await, "at b");
    end_all(vec![second], vec![a, b, c]).await;
}

#[tokio::test]
async fn earlier_clients_are_announced_too() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    // More than fit into one batch.
    let mut agents = Vec::new();
    for number in 0..300 {
        let key = format!("edge-{number:03}");
        let agent = support::agent("tcp", a.at, &key);
        agents.push(agent.start());
    }
    until(|| a.server.clients().len() == agents.len()).await;
    join(&a, &b).await;
    until(|| b.peer("a").routes == agents.len()).await;
    b.finds("edge-299", &["a"]).await;
    drop(agents);
    until(|| b.peer("a").routes == 0).await;
    end_all(vec![], vec![a, b]).await;
}

/// A peer without the client that it announced.
async fn liar(to: &Host, id: &str) -> HandPeer {
    let peer = HandPeer::connect(to.at, id, Dialect::Extended, |core, now, event| {
        if let Event::Incoming { id, .. } = event {
            core.refuse(now, id, ResetCode::NO_SUCH_CLIENT, "not here").unwrap();
        }
    });
    in_time(peer).await.unwrap()
}

#[tokio::test]
async fn a_stale_route_is_tried_once() {
    let (a, b) = pair().await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    b.server.add_peer(by_hand("liar", nobody)).unwrap();
    let liar = liar(&b, "liar").await;
    liar.announce("edge", 7);
    liar.announce("ghost", 8);
    b.finds("edge", &["liar"]).await;
    let speaker = a.speaker("edge", "at a").await;
    b.finds("edge", &["liar", "a"]).await;
    assert_eq!(text_of(&b, "edge").await, "at a");
    b.finds("edge", &["a"]).await;

    b.finds("ghost", &["liar"]).await;
    let error = in_time(b.server.dial("ghost", "greeting")).await.unwrap_err();
    assert!(matches!(error, DialError::NotConnected(_)), "{error:?}");
    b.finds("ghost", &[]).await;
    assert!(liar.is_up());
    end_all(vec![speaker], vec![a, b]).await;
}

/// The refusal and the announcement arrive together.
#[tokio::test]
async fn a_client_that_comes_back_while_a_dial_is_refused_is_not_forgotten() {
    let b = Host::start("b").await;
    b.server.add_peer(by_hand("a", ([127, 0, 0, 1], 1).into())).unwrap();
    let mut number = 1;
    let a = HandPeer::connect(b.at, "a", Dialect::Extended, move |core, now, event| {
        if let Event::Incoming { id, .. } = event {
            core.refuse(now, id, ResetCode::NO_SUCH_CLIENT, "not now").unwrap();
            number += 1;
            let route = ClientRoute { client_key: "edge".into(), session_key: number };
            core.announce(now, route, true).unwrap();
        }
    });
    let a = in_time(a).await.unwrap();
    a.announce("edge", 1);
    for _ in 0..20 {
        b.finds("edge", &["a"]).await;
        let error = in_time(b.server.dial("edge", "greeting")).await.unwrap_err();
        assert!(matches!(error, DialError::NotConnected(_)), "{error:?}");
    }
    b.finds("edge", &["a"]).await;
    assert_eq!(b.peer("a").routes, 1);
    end_all(vec![], vec![b]).await;
}

#[tokio::test]
async fn a_peer_that_ends_takes_its_routes_along_and_the_next_one_is_dialled() {
    let (a, b) = pair().await;
    let c = Host::start("c").await;
    join(&a, &c).await;
    join(&b, &c).await;
    let (first, second) = (a.speaker("edge", "at a").await, b.speaker("edge", "at b").await);
    until(|| c.server.peers_of("edge").len() == 2).await;
    drop(b.server);
    c.finds("edge", &["a"]).await;
    assert_eq!(text_of(&c, "edge").await, "at a");
    drop(second);
    end_all(vec![first], vec![a, c]).await;
}

/// It would receive dials that are meant for the client.
#[tokio::test]
async fn s9_a_peer_that_announces_another_ones_client_gets_none_of_its_dials() {
    let (a, b) = pair().await;
    let nobody = ([127, 0, 0, 1], 1).into();
    a.server.add_peer(by_hand("liar", nobody)).unwrap();
    let (dialled, mut dials) = tokio::sync::mpsc::unbounded_channel();
    let liar = HandPeer::connect(a.at, "liar", Dialect::Extended, move |core, now, event| {
        if let Event::Incoming { id, target, .. } = event {
            core.accept(now, id).unwrap();
            dialled.send(target).unwrap();
        }
    });
    let liar = in_time(liar).await.unwrap();
    let speaker = b.speaker("edge", "at b").await;
    a.finds("edge", &["b"]).await;
    liar.announce("edge", 1);
    a.finds("edge", &["b", "liar"]).await;
    for number in 2..10 {
        assert_eq!(text_of(&a, "edge").await, "at b");
        liar.announce("edge", number);
    }
    // Nor when the client reconnects.
    assert!(in_time(speaker.shutdown(Duration::ZERO)).await.is_settled());
    a.finds("edge", &["liar"]).await;
    let speaker = b.speaker("edge", "at b again").await;
    a.finds("edge", &["b", "liar"]).await;
    assert_eq!(text_of(&a, "edge").await, "at b again");
    assert!(dials.try_recv().is_err(), "the liar was dialled");
    drop(liar);
    end_all(vec![speaker], vec![a, b]).await;
}

/// Its target was reached, or will not be: trying another route would be a second dial.
#[tokio::test]
async fn a_dial_that_the_client_refuses_is_not_tried_elsewhere() {
    let (a, b) = pair().await;
    let c = Host::start("c").await;
    join(&a, &c).await;
    join(&b, &c).await;
    // With the error of a peer for a client that it does not have.
    let refusing = support::agent("ws", a.at, "edge").dial_handler(|dial| async move {
        dial.refuse(ResetCode::NO_SUCH_CLIENT, "not for you");
    });
    let speaker = b.speaker("edge", "at b").await;
    a.finds("edge", &["b"]).await;
    let refusing = refusing.start();
    in_time(refusing.connected()).await.unwrap();
    until(|| a.server.client("edge").is_some()).await;
    let error = in_time(a.server.dial("edge", "greeting")).await.unwrap_err();
    assert_eq!(error.to_string(), "not for you");

    // Nor of a peer.
    let refusing_too = support::agent("ws", a.at, "other").dial_handler(|dial| async move {
        dial.refuse(ResetCode::DIAL_REFUSED, "nor for you");
    });
    let refusing_too = refusing_too.start();
    in_time(refusing_too.connected()).await.unwrap();
    c.finds("other", &["a"]).await;
    let speaker_too = b.speaker("other", "at b").await;
    c.finds("other", &["a", "b"]).await;
    let error = in_time(c.server.dial("other", "greeting")).await.unwrap_err();
    assert_eq!(error.to_string(), "nor for you");
    let agents = vec![refusing, refusing_too, speaker, speaker_too];
    end_all(agents, vec![a, b, c]).await;
}

#[tokio::test]
async fn a_client_whose_session_ends_during_a_dial_is_tried_through_a_peer() {
    let (a, b) = pair().await;
    let (dialled, mut dials) = tokio::sync::mpsc::unbounded_channel();
    let stuck = support::agent("tcp", a.at, "edge").dial_handler(move |dial| {
        dialled.send(dial).unwrap();
        std::future::ready(())
    });
    let stuck = stuck.start();
    let speaker = b.speaker("edge", "at b").await;
    a.finds("edge", &["b"]).await;
    until(|| a.server.client("edge").is_some()).await;
    let server = a.server.clone();
    let dial = tokio::spawn(async move { server.dial("edge", "tcp/greeting:1").await });
    let held = in_time(dials.recv()).await.unwrap();
    in_time(stuck.kill()).await;
    assert_eq!(super::reads(&mut in_time(dial).await.unwrap().unwrap()).await, "at b");
    drop(held);
    end_all(vec![speaker], vec![a, b]).await;
}

#[tokio::test]
async fn a_server_that_drains_takes_no_new_dials_of_peers() {
    let (a, b) = pair().await;
    let target = support::Target::echo().await;
    let agents = vec![a.agent("edge").await];
    b.finds("edge", &["a"]).await;
    let held = in_time(b.server.dial("edge", &target.target())).await.unwrap();
    let shutdown = tokio::spawn(a.server.shutdown(Duration::from_secs(600)));
    until(|| b.peer("a").incoming.is_none_or(|incoming| incoming.going_away)).await;
    in_time(b.server.dial("edge", &target.target())).await.unwrap_err();
    // Open connections run to their end.
    super::echoes(held).await;
    assert!(in_time(shutdown).await.unwrap().is_settled());
    end_all(agents, vec![b]).await;
}

#[tokio::test]
async fn a_client_that_is_nowhere_is_not_looked_for_in_circles() {
    let (a, b) = pair().await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(by_hand("liar", nobody)).unwrap();
    let liar = liar(&a, "liar").await;
    liar.announce("ghost", 1);
    a.finds("ghost", &["liar"]).await;
    let speaker = a.speaker("edge", "at a").await;
    b.finds("edge", &["a"]).await;
    assert!(b.server.peers_of("ghost").is_empty(), "what a peer announced was announced");
    for host in [&a, &b] {
        let error = in_time(host.server.dial("ghost", "greeting")).await.unwrap_err();
        assert!(matches!(error, DialError::NotConnected(_)), "{error:?}");
    }
    end_all(vec![speaker], vec![a, b]).await;
}

/// remotedialer servers do, and would pass a dial of it to each other forever.
#[tokio::test]
async fn a_server_that_is_announced_as_a_client_is_none() {
    let (a, b) = pair().await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(by_hand("theirs", nobody)).unwrap();
    let theirs = liar(&a, "theirs").await;
    for (id, number) in ["a", "b", "theirs", "later", "edge"].into_iter().zip(1..) {
        theirs.announce(id, number);
    }
    a.finds("edge", &["theirs"]).await;
    assert_eq!(a.peer("theirs").routes, 2);
    assert_eq!(a.server.peers_of("later"), ["theirs"]);
    a.server.add_peer(by_hand("later", nobody)).unwrap();
    for id in ["a", "b", "theirs", "later"] {
        assert!(a.server.peers_of(id).is_empty(), "{id}");
        let error = in_time(a.server.dial(id, "greeting")).await.unwrap_err();
        assert!(matches!(error, DialError::NotConnected(_)), "{error:?}");
    }
    end_all(vec![], vec![a, b]).await;
}

/// An agent that moves from server to server, and is dialled all the while.
async fn wander(hosts: &[Host; 3], key: &str, moves: usize) {
    let next = hosts.iter().cycle().skip(1);
    for (host, from) in hosts.iter().cycle().zip(next).take(moves) {
        let speaker = host.speaker(key, "here").await;
        // It may be moving.
        if let Ok(mut stream) = in_time(from.server.dial(key, "tcp/greeting:1")).await {
            assert_eq!(super::reads(&mut stream).await, "here");
        }
        end_all(vec![speaker], vec![]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn routes_of_clients_that_move_converge() {
    let hosts = [Host::start("a").await, Host::start("b").await, Host::start("c").await];
    let [a, b, c] = &hosts;
    join(a, b).await;
    join(b, c).await;
    join(c, a).await;
    let keys: Vec<_> = (0..12).map(|number| format!("edge-{number}")).collect();
    let wandering = keys.iter().map(|key| wander(&hosts, key, 12));
    futures_util::future::join_all(wandering).await;
    for host in &hosts {
        until(|| host.server.peers().iter().all(|peer| peer.routes == 0)).await;
    }
    let mut settled = Vec::new();
    for key in &keys {
        settled.push(b.speaker(key, "settled").await);
        a.finds(key, &["b"]).await;
        c.finds(key, &["b"]).await;
        assert_eq!(text_of(a, key).await, "settled");
    }
    end_all(settled, vec![]).await;
    until(|| hosts.iter().all(|host| host.server.ledger().registry.routes.live == 0)).await;
    end_all(vec![], hosts.into()).await;
}
