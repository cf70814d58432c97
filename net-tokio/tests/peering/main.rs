//! Servers that dial through each other, with real sockets between them.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "what fails here fails the test"
)]

mod dialect;
mod discovery;
mod hand;
mod limits;
mod proof;
mod routes;
mod streams;
mod trust;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watertight::peering::{Peer, PeerIdentity, PeerInfo};
use watertight::{
    Agent, AgentStatus, ProxyPolicy, ReconnectConfig, Server, ServerBuilder, TunnelStream,
};

use support::{agent, in_time, listen, server, until};

/// A server that may have peers.
pub struct Host {
    pub server: Server,
    pub at: SocketAddr,
    pub id: String,
}

impl Host {
    pub async fn start(id: &str) -> Self {
        Self::with(id, server()).await
    }

    pub async fn with(id: &str, builder: ServerBuilder) -> Self {
        let server = builder.peering(PeerIdentity::new(id, &token(id))).build();
        let at = listen(&server).await;
        Self { server, at, id: id.to_string() }
    }

    /// The configuration of this server as a peer.
    pub fn as_peer(&self) -> Peer {
        peer(&self.id, self.at)
    }

    pub fn peer(&self, id: &str) -> PeerInfo {
        self.server.peers().into_iter().find(|peer| peer.id == id).unwrap()
    }

    pub async fn is_up_with(&self, id: &str) {
        until(|| {
            let peer = self.server.peers().into_iter().find(|peer| peer.id == id);
            peer.is_some_and(|peer| {
                matches!(peer.outgoing, AgentStatus::Connected { .. }) && peer.incoming.is_some()
            })
        })
        .await;
    }

    /// Waits until the peers that announced a client are these, the best one first.
    pub async fn finds(&self, client: &str, peers: &[&str]) {
        until(|| self.server.peers_of(client) == peers).await;
    }

    /// An agent of this server that may dial this machine.
    pub async fn agent(&self, key: &str) -> Agent {
        let agent = agent("ws", self.at, key).start();
        in_time(agent.connected()).await.unwrap();
        until(|| self.server.client(key).is_some()).await;
        agent
    }

    /// An agent that answers every dial with a text.
    pub async fn speaker(&self, key: &str, text: &'static str) -> Agent {
        let agent = agent("ws", self.at, key).dial_handler(move |dial| async move {
            let mut stream = dial.accept().unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let agent = agent.start();
        in_time(agent.connected()).await.unwrap();
        agent
    }

    pub async fn end(self) {
        let ledger = in_time(self.server.shutdown(Duration::from_secs(5))).await;
        assert!(ledger.is_settled(), "{ledger:?}");
    }
}

pub fn token(id: &str) -> String {
    format!("token of {id}")
}

pub fn peer(id: &str, at: SocketAddr) -> Peer {
    let endpoint = format!("ws://{at}").parse().unwrap();
    Peer::new(endpoint, id, &token(id)).proxy(ProxyPolicy::None).reconnect(reconnect())
}

/// A peer that a test drives as a remotedialer one: it sends its token.
pub fn by_hand(id: &str, at: SocketAddr) -> Peer {
    peer(id, at).remotedialer()
}

/// A backoff that is short enough for a test.
pub fn reconnect() -> ReconnectConfig {
    ReconnectConfig {
        initial: Duration::from_millis(10),
        max: Duration::from_millis(100),
        ..ReconnectConfig::default()
    }
}

/// Two servers that are peers of each other.
pub async fn pair() -> (Host, Host) {
    let (a, b) = (Host::start("a").await, Host::start("b").await);
    join(&a, &b).await;
    (a, b)
}

pub async fn join(a: &Host, b: &Host) {
    a.server.add_peer(b.as_peer()).unwrap();
    b.server.add_peer(a.as_peer()).unwrap();
    a.is_up_with(&b.id).await;
    b.is_up_with(&a.id).await;
}

pub async fn end_all(agents: Vec<Agent>, hosts: Vec<Host>) {
    for agent in agents {
        let ledger = in_time(agent.shutdown(Duration::from_secs(5))).await;
        assert!(ledger.is_settled(), "{ledger:?}");
    }
    for host in hosts {
        host.end().await;
    }
}

pub async fn echoes(mut stream: TunnelStream) {
    stream.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"hello");
}

pub async fn reads(stream: &mut TunnelStream) -> String {
    let mut text = String::new();
    in_time(stream.read_to_string(&mut text)).await.unwrap();
    text
}

/// The text of a client that answers every dial with one.
pub async fn text_of(host: &Host, client: &str) -> String {
    reads(&mut in_time(host.server.dial(client, "tcp/greeting:1")).await.unwrap()).await
}
