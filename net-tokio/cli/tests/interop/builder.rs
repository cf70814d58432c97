//! Starts the pair of a scenario: servers, agents and peers of both implementations.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::end::End;
use crate::go::{GoEnd, Version};
use crate::pair::{Case, Kind, Pair, agents_connect_to, are_connected};
use crate::processes::{KEY, TOKEN, Watertight, write_private};
use crate::relay::{Offer, Relay};

/// Scenarios that keep a processor busy at the same time.
static BUSY: Semaphore = Semaphore::const_new(2);

/// What servers show each other.
pub(crate) const PEER_TOKEN: &str = "a-token-between-servers";

/// The id of the server that dials, and that of its peer.
const SERVER_ID: &str = "dialling";
const PEER_ID: &str = "between";

/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What a pair is started with.
#[derive(Debug)]
pub(crate) struct PairBuilder {
    pub(crate) case: Case,
    /// What the server dials at the agent.
    forwards: Vec<SocketAddr>,
    /// What the agent dials at the server.
    backwards: Vec<SocketAddr>,
    /// What nobody may dial.
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

    /// What the server dials at the agent.
    pub(crate) fn forward(mut self, target: SocketAddr) -> Self {
        self.forwards.push(target);
        self
    }

    /// What the server dials at the agent, who forbids it.
    pub(crate) fn forbidden(mut self, target: SocketAddr) -> Self {
        self.forbidden.push(target);
        self.forward(target)
    }

    /// What the agent dials at the server.
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
            // Each is told of the other one when it starts: the path between them comes first.
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

    /// Starts the server that dials. If it is one of ours, its peer must be there.
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

    /// Arguments for a server of ours with the id `own` and one peer.
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

/// Tells a Go server of a peer, which it connects to from then on.
pub(crate) async fn add_peer(server: &End, peer: SocketAddr, id: &str) {
    let End::Go(server) = server else { unreachable!("ours are told when they start") };
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
