//! A faulty peer affects no other.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use watertight::proto::registry::RegistryLimits;
use watertight::proto::wire::Dialect;

use super::hand::HandPeer;
use super::{Host, by_hand, echoes, end_all, join};
use support::{Target, agent, in_time, server, until};

#[tokio::test]
async fn announcements_beyond_the_limit_change_nothing() {
    let limits = RegistryLimits { routes_per_peer: 3, ..RegistryLimits::default() };
    let (a, b) = (Host::with("a", server().registry(limits)).await, Host::start("b").await);
    join(&a, &b).await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(by_hand("c", nobody)).unwrap();
    let greedy = HandPeer::connect(a.at, "c", Dialect::Base, |_, _, _| {});
    let greedy = in_time(greedy).await.unwrap();
    for number in 0..100 {
        greedy.announce(&format!("edge-{number}"), number);
    }
    until(|| a.peer("c").routes == 3).await;
    let speaker = b.speaker("real", "at b").await;
    a.finds("real", &["b"]).await;
    assert_eq!(super::text_of(&a, "real").await, "at b");
    assert!(greedy.is_up() && a.peer("c").incoming.is_some());
    assert_eq!(a.peer("c").routes, 3);
    end_all(vec![speaker], vec![a, b]).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_delays_nobody() {
    let (target, a, b) = (Target::echo().await, Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    let listener = narrow_listener();
    a.server.add_peer(by_hand("stalled", listener.local_addr().unwrap())).unwrap();
    let stalled = upgraded(in_time(listener.accept()).await.unwrap().0).await;
    for wave in 0..WAVES {
        // Each is announced to the peer that does not read, too.
        let keys: Vec<_> = (0..WAVE).map(|number| long_key(wave, number)).collect();
        let agent = |key| agent("tcp", a.at, key).policy(support::loopback()).start();
        let agents = keys.iter().map(|key| agent(key)).collect();
        for key in &keys {
            b.finds(key, &["a"]).await;
            echoes(in_time(b.server.dial(key, &target.target())).await.unwrap()).await;
        }
        let waiting = a.server.ledger().connections.queued_control;
        assert!(wave + 1 < WAVES || waiting >= WAVE, "the sockets hold all but {waiting}");
        end_all(agents, vec![]).await;
        for key in &keys {
            b.finds(key, &[]).await;
        }
    }
    drop(stalled);
    end_all(vec![], vec![a, b]).await;
}

/// Clients that connect and disconnect in waves: more announcements than a narrow path holds.
const WAVES: u64 = 6;
const WAVE: u64 = 50;

/// A key of the greatest length.
fn long_key(wave: u64, number: u64) -> String {
    format!("{wave}-{number}-{:0<512}", "edge")[..512].to_string()
}

/// A listener whose sockets have small buffers, so that the path to them is soon full.
fn narrow_listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    let options = socket2::SockRef::from(&socket);
    options.set_recv_buffer_size(4096).unwrap();
    options.set_tcp_mss(536).unwrap();
    socket.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket.listen(16).unwrap()
}

/// Speaks the extended dialect, and is never read from.
async fn upgraded(socket: TcpStream) -> WebSocketStream<TcpStream> {
    #[allow(clippy::result_large_err, reason = "the error is the library's")]
    let agree = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Watertight-Protocol", "1".parse().unwrap());
        Ok(response)
    };
    accept_hdr_async(socket, agree).await.unwrap()
}

#[tokio::test]
async fn a_peer_that_answers_no_dial_leaves_time_for_another() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    a.server.add_peer(by_hand("c", nobody)).unwrap();
    let silent = HandPeer::connect(a.at, "c", Dialect::Extended, |_, _, _| {});
    let silent = in_time(silent).await.unwrap();
    silent.announce("edge", 1);
    a.finds("edge", &["c"]).await;
    let speaker = b.speaker("edge", "at b").await;
    a.finds("edge", &["c", "b"]).await;
    let dial = a.server.dial_within("edge", "tcp/greeting:1", Some(Duration::from_secs(2)));
    let mut greeting = String::new();
    in_time(dial).await.unwrap().read_to_string(&mut greeting).await.unwrap();
    assert_eq!(greeting, "at b");
    end_all(vec![speaker], vec![a, b]).await;
}

/// A client that is connected in two servers, and has stalled in the one that is tried first.
#[tokio::test]
async fn a_client_that_answers_no_dial_here_is_tried_through_a_peer() {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    let stuck = agent("tcp", a.at, "edge").dial_handler(|dial| async move {
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
