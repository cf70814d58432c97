//! The pairs of implementations: how one is started, and its running processes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::end::End;
use crate::go::{GoEnd, Version};
use crate::processes::{KEY, PATIENCE, TOKEN, Watertight, Witness, eventually, write_private};
use crate::relay::{Offer, Relay};
use crate::services::connect;

/// Which ends meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// remotedialer's server and our agent.
    GoServer(Version),
    /// Our server and remotedialer's client.
    GoClient(Version),
    /// Both of watertight, with the offer of the extension taken out in the relay.
    OursInBase,
    /// Our server, whose peer is remotedialer's, to which our agent is connected.
    OursThroughGo,
    /// remotedialer's server, whose peer is a watertight server, to which remotedialer's client is connected.
    GoThroughOurs,
    /// Two watertight servers as peers, with remotedialer's client on the one that does not dial.
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

    /// The routes by which a target is dialled that both ends have forwards to: the end whose
    /// clients dial it, and where they connect. Through a peer only the server dials.
    pub(crate) fn routes(&self, target: SocketAddr) -> Vec<(&End, SocketAddr)> {
        let forward = (&self.server, self.forward(target));
        let backward = self.peer.is_none().then(|| (&self.agent, self.backward(target)));
        [forward].into_iter().chain(backward).collect()
    }

    pub(crate) const fn case(&self) -> Case {
        self.builder.case
    }

    /// A connection through the tunnel that is never to be disturbed, to a service that echoes.
    pub(crate) async fn witness(&self, echo: SocketAddr) -> Witness {
        Witness::on(connect(self.forward(echo)).await).await
    }

    /// Kills the agent, and starts another one.
    pub(crate) async fn replace_agent(mut self, meanwhile: impl AsyncFnOnce(&End)) -> Self {
        self.agent.kill().await;
        meanwhile(&self.server).await;
        self.agent = self.builder.start_agent(agents_connect_to(&self.relay, &self.peer)).await;
        are_connected(&self.server, &self.peer).await;
        self
    }

    /// Kills the server, and starts another one.
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

/// Scenarios that keep a processor busy at the same time.
static BUSY: Semaphore = Semaphore::const_new(2);

/// What servers show each other.
pub(crate) const PEER_TOKEN: &str = "a-token-between-servers";

/// The id of the server that dials, and that of its peer.
const SERVER_ID: &str = "dialling";
const PEER_ID: &str = "between";

/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The settings of a pair.
#[derive(Debug)]
pub(crate) struct PairBuilder {
    pub(crate) case: Case,
    /// Targets that the server dials at the agent.
    forwards: Vec<SocketAddr>,
    /// Targets that the agent dials at the server.
    backwards: Vec<SocketAddr>,
    /// Targets that nobody may dial.
    forbidden: Vec<SocketAddr>,
    /// More arguments of our ends.
    args: Vec<String>,
    sleeps: bool,
    folder: TempDir,
}

impl PairBuilder {
    pub(crate) fn new(case: Case) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("token"), TOKEN);
        write_private(&folder.path().join("peer-token"), PEER_TOKEN);
        Self {
            case,
            forwards: Vec::new(),
            backwards: Vec::new(),
            forbidden: Vec::new(),
            args: Vec::new(),
            sleeps: false,
            folder,
        }
    }

    /// Targets that the server dials at the agent.
    pub(crate) fn forward(mut self, target: SocketAddr) -> Self {
        self.forwards.push(target);
        self
    }

    /// A target that the server dials at the agent, which forbids it.
    pub(crate) fn forbidden(mut self, target: SocketAddr) -> Self {
        self.forbidden.push(target);
        self.forward(target)
    }

    /// Targets that the agent dials at the server.
    pub(crate) fn backward(mut self, target: SocketAddr) -> Self {
        self.backwards.push(target);
        self
    }

    /// More arguments of our ends, servers and agents.
    pub(crate) fn ours<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(String::from));
        self
    }

    /// This one mostly waits, and may do so beside any number of others.
    pub(crate) const fn sleeps(mut self) -> Self {
        self.sleeps = true;
        self
    }

    pub(crate) async fn start(self) -> Pair {
        let turn = if self.sleeps { None } else { Some(BUSY.acquire().await.unwrap()) };
        let (server, peer, relay) = self.start_servers().await;
        let agent = self.start_agent(agents_connect_to(&relay, &peer)).await;
        are_connected(&server, &peer).await;
        Pair { server, peer, agent, relay, builder: self, _turn: turn }
    }

    async fn start_servers(&self) -> (End, Option<End>, Relay) {
        let kind = self.case.kind;
        let offer = if kind == Kind::OursInBase { Offer::TakenOut } else { Offer::Passed };
        if kind == Kind::OursThroughGo {
            let args = ["--peer-id", PEER_ID, "--peer-token", PEER_TOKEN];
            let peer = End::Go(start_go_server(Version::V0_6_2, &args).await);
            let server = self.start_server(Some(&peer)).await;
            let relay = Relay::to(server.agents(), offer).await;
            add_peer(&peer, relay.at, SERVER_ID).await;
            return (server, Some(peer), relay);
        }
        if kind == Kind::GoBehindOurs {
            // Each gets the address of the other one at its start: the path between them comes first.
            let relay = Relay::to(NOWHERE, offer).await;
            let peer = self.start_our_server(self.peering(PEER_ID, relay.at, SERVER_ID)).await;
            let server = self.start_server(Some(&peer)).await;
            relay.redirect(server.agents());
            return (server, Some(peer), relay);
        }
        let server = self.start_server(None).await;
        let relay = Relay::to(server.agents(), offer).await;
        if kind != Kind::GoThroughOurs {
            return (server, None, relay);
        }
        let peering = self.peering(PEER_ID, relay.at, SERVER_ID);
        let peer = self.start_our_server(peering).await;
        add_peer(&server, peer.agents(), PEER_ID).await;
        (server, Some(peer), relay)
    }

    /// Starts the server that dials. If it is a watertight server, its peer must be there.
    pub(crate) async fn start_server(&self, peer: Option<&End>) -> End {
        let Some(version) = self.case.kind.go_server() else {
            let peering = peer.map(|peer| self.peering(SERVER_ID, peer.agents(), PEER_ID));
            let mut args = peering.unwrap_or_default();
            for target in &self.forwards {
                args.extend(["--forward".to_string(), format!("127.0.0.1:0={KEY}={target}")]);
            }
            for target in &self.backwards {
                args.extend(["--allow-dial".to_string(), target.to_string()]);
            }
            return self.start_our_server(args).await;
        };
        let allow = list(&self.backwards);
        let peering = ["--peer-id", SERVER_ID, "--peer-token", PEER_TOKEN];
        let args = [&["--allow", &allow], &peering[..]].concat();
        let mut server = start_go_server(version, &args).await;
        for target in &self.forwards {
            server.open_forward(KEY, *target).await;
        }
        let server = End::Go(server);
        if let Some(peer) = peer {
            add_peer(&server, peer.agents(), PEER_ID).await;
        }
        server
    }

    /// Arguments for a watertight server with the id `own` and one peer.
    fn peering(&self, own: &str, peer: SocketAddr, id: &str) -> Vec<String> {
        let is_ours = self.case.kind == Kind::GoBehindOurs;
        let kind = if is_ours { "" } else { "remotedialer+" };
        let (token_file, peer) = (self.path("peer-token"), format!("{kind}{},{id}", url(peer)));
        owned(&["--peer-id", own, "--peer-token-file", &token_file, "--peer", &peer])
    }

    async fn start_our_server(&self, more: Vec<String>) -> End {
        let token_file = self.path("token");
        let args = ["server", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let args = owned(&args).into_iter().chain(owned(&["--token-file", &token_file]));
        End::Ours(Watertight::start(args.chain(more).chain(self.args.iter().cloned())).await)
    }

    pub(crate) async fn start_agent(&self, server: SocketAddr) -> End {
        let url = url(server);
        let allowed = self.forwards.iter().filter(|at| !self.forbidden.contains(at));
        let allowed: Vec<_> = allowed.copied().collect();
        let Some(version) = self.case.kind.go_client() else {
            return self.start_our_agent(&url, &allowed).await;
        };
        let allow = list(&allowed);
        let args = ["client", "--connect", &url, "--key", KEY, "--token", TOKEN, "--allow", &allow];
        let mut agent = GoEnd::start(version, &args).await;
        for target in &self.backwards {
            agent.open_forward(KEY, *target).await;
        }
        End::Go(agent)
    }

    async fn start_our_agent(&self, url: &str, allowed: &[SocketAddr]) -> End {
        let token_file = self.path("token");
        let mut args =
            owned(&["agent", "--connect", url, "--key", KEY, "--token-file", &token_file]);
        for target in allowed {
            args.extend(["--allow".to_string(), target.to_string()]);
        }
        for target in &self.backwards {
            args.extend(["--forward".to_string(), format!("127.0.0.1:0={target}")]);
        }
        args.extend(self.args.iter().cloned());
        End::Ours(Watertight::start(args).await)
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }
}

async fn start_go_server(version: Version, more: &[&str]) -> GoEnd {
    GoEnd::start(version, &[&["server", "--token", TOKEN], more].concat()).await
}

/// Adds a peer to a Go server, which connects to it from then on.
pub(crate) async fn add_peer(server: &End, peer: SocketAddr, id: &str) {
    let End::Go(server) = server else {
        unreachable!("watertight servers get their peers at the start")
    };
    server.post(&format!("/peers?url={}&id={id}&token={PEER_TOKEN}", url(peer))).await;
}

fn url(server: SocketAddr) -> String {
    format!("ws://{server}/connect")
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().copied().map(String::from).collect()
}

fn list(targets: &[SocketAddr]) -> String {
    targets.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}
