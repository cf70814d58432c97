//! The pairs of implementations, and the running processes of one.

use std::net::SocketAddr;

use tokio::sync::SemaphorePermit;

use crate::builder::PairBuilder;
use crate::end::End;
use crate::go::Version;
use crate::processes::{KEY, PATIENCE, Witness, eventually};
use crate::relay::Relay;
use crate::services::connect;

/// Which ends meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// remotedialer's server and our agent.
    GoServer(Version),
    /// Our server and remotedialer's client.
    GoClient(Version),
    /// Both ours, with the offer of the extension taken out on the way.
    OursInBase,
    /// Our server, whose peer is remotedialer's, to which our agent is connected.
    OursThroughGo,
    /// remotedialer's server, whose peer is ours, to which remotedialer's client is connected.
    GoThroughOurs,
    /// Two servers of ours as peers, with remotedialer's client on the one that does not dial.
    GoBehindOurs,
    /// Our server and remotedialer's as peers, with agents of both kinds on each.
    Peers,
}

/// A scenario for a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) scenario: &'static str,
}

/// A server and an agent, each a process, with a relay between them. Or with a peer of the server
/// between them; then the relay is between server and peer.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) server: End,
    pub(crate) peer: Option<End>,
    pub(crate) agent: End,
    pub(crate) relay: Relay,
    pub(crate) builder: PairBuilder,
    pub(crate) _turn: Option<SemaphorePermit<'static>>,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GoServer(Version::V0_6_2) => "go_server",
            Self::GoServer(Version::V0_6_1) => "go_server_v0_6_1",
            Self::GoClient(Version::V0_6_2) => "go_client",
            Self::GoClient(Version::V0_6_1) => "go_client_v0_6_1",
            Self::OursInBase => "ours_in_base",
            Self::OursThroughGo => "ours_through_go_peer",
            Self::GoThroughOurs => "go_through_our_peer",
            Self::GoBehindOurs => "go_behind_our_peers",
            Self::Peers => "peers",
        }
    }
}

impl Kind {
    /// The version of remotedialer that serves, if any does.
    pub(crate) const fn go_server(self) -> Option<Version> {
        match self {
            Self::GoServer(version) => Some(version),
            Self::GoThroughOurs => Some(Version::V0_6_2),
            Self::GoClient(_)
            | Self::OursInBase
            | Self::OursThroughGo
            | Self::GoBehindOurs
            | Self::Peers => None,
        }
    }

    /// The version of remotedialer that is the agent, if any is.
    pub(crate) const fn go_client(self) -> Option<Version> {
        match self {
            Self::GoClient(version) => Some(version),
            Self::GoThroughOurs | Self::GoBehindOurs => Some(Version::V0_6_2),
            Self::GoServer(_) | Self::OursInBase | Self::OursThroughGo | Self::Peers => None,
        }
    }
}

impl Pair {
    pub(crate) fn of(case: Case) -> PairBuilder {
        PairBuilder::new(case)
    }

    /// A pair whose server has forwards to `targets`.
    pub(crate) async fn start(case: Case, targets: &[SocketAddr]) -> Self {
        targets.iter().fold(Self::of(case), |builder, at| builder.forward(*at)).start().await
    }

    /// The local port of the server's forward to `target`.
    pub(crate) fn forward(&self, target: SocketAddr) -> SocketAddr {
        self.server.forward(target)
    }

    /// The local port of the agent's forward to `target`.
    pub(crate) fn backward(&self, target: SocketAddr) -> SocketAddr {
        self.agent.forward(target)
    }

    /// The ways in which a target is dialled that both ends have forwards to: the end whose
    /// clients dial it, and where they connect. Through a peer only the server dials.
    pub(crate) fn ways(&self, target: SocketAddr) -> Vec<(&End, SocketAddr)> {
        let forward = (&self.server, self.forward(target));
        let backward = self.peer.is_none().then(|| (&self.agent, self.backward(target)));
        [forward].into_iter().chain(backward).collect()
    }

    pub(crate) const fn case(&self) -> Case {
        self.builder.case
    }

    /// A connection through the tunnel that is never to be disturbed, to a service that echoes.
    pub(crate) async fn witness(&self, echo: SocketAddr) -> Witness {
        Witness::over(connect(self.forward(echo)).await).await
    }

    /// Kills the agent, and starts another one in its place.
    pub(crate) async fn replace_agent(mut self, meanwhile: impl AsyncFnOnce(&End)) -> Self {
        self.agent.kill().await;
        meanwhile(&self.server).await;
        self.agent = self.builder.start_agent(agents_connect_to(&self.relay, &self.peer)).await;
        are_connected(&self.server, &self.peer).await;
        self
    }

    /// Kills the server, and starts another one in its place.
    pub(crate) async fn replace_server(mut self, meanwhile: impl AsyncFnOnce(&End)) -> Self {
        self.server.kill().await;
        meanwhile(&self.agent).await;
        self.server = self.builder.start_server(self.peer.as_ref()).await;
        self.relay.redirect(self.server.agents());
        are_connected(&self.server, &self.peer).await;
        self
    }

    /// All ends, from the agent on, and what each is here.
    pub(crate) fn ends(&self) -> Vec<(&'static str, &End)> {
        let peer = self.peer.as_ref().map(|peer| ("peer", peer));
        let (agent, server) = (("agent", &self.agent), ("server", &self.server));
        [agent].into_iter().chain(peer).chain([server]).collect()
    }

    /// The end that connects to the server.
    pub(crate) fn connector(&self) -> &End {
        self.peer.as_ref().unwrap_or(&self.agent)
    }

    /// Whether a Go end hands on what the server dials, or dials it itself.
    pub(crate) fn is_behind_go(&self) -> bool {
        self.agent.is_go() || self.connector().is_go()
    }
}

/// Where an agent connects.
pub(crate) fn agents_connect_to(relay: &Relay, peer: &Option<End>) -> SocketAddr {
    peer.as_ref().map_or(relay.at, End::agents)
}

/// Waits until all sessions are up, and the server knows of the agent's.
pub(crate) async fn are_connected(server: &End, peer: &Option<End>) {
    eventually(PATIENCE, "all sessions", async || {
        let servers = [server].into_iter().chain(peer);
        for server in servers {
            if !server.is_peered().await {
                return Err("the servers are not connected".to_string());
            }
        }
        if server.reaches(KEY).await { Ok(()) } else { Err("the agent is not".to_string()) }
    })
    .await;
}
