//! Everything that conversations go through: tunnels of this process, and remotedialer's program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use watertight::peering::{Peer, PeerIdentity};
use watertight::tls::{ClientTls, ServerTls};
use watertight::{Agent, AgentBuilder, Listener, Policy, ProxyPolicy, Server, SessionConfig};

use crate::go::{GoEnd, Version};
use crate::processes::{Authority, eventually};
use crate::report::Report;
use crate::route::{LANES, Lane, Opener, Route};
use crate::socket::{Acceptor, Address, Family};
use support::{self, KEY, TOKEN, in_time, listen, server, until};

/// How long a base session listens for an answer that nobody may send. Only the time of a conversation
/// in which the target waits for an end of file that the client cannot send.
const BASE_LINGER: Duration = Duration::from_millis(500);

/// All routes, and the tunnels under them.
pub(crate) struct World {
    /// The kernel's TCP.
    pub(crate) direct: Route,
    /// The kernel's Unix sockets.
    pub(crate) direct_unix: Route,
    /// Through tunnels.
    pub(crate) routes: Vec<Route>,
    servers: Vec<Server>,
    agents: Vec<Agent>,
    go: Vec<GoEnd>,
    folder: TempDir,
}

/// Who accepts the connections that are dialled at the remote.
#[derive(Clone)]
enum Dialler {
    Server(Server),
    Agent(Agent),
}

/// Paths for sockets, no two the same.
#[derive(Clone)]
struct Paths(Arc<(PathBuf, AtomicU64)>);

impl Paths {
    fn next(&self) -> PathBuf {
        self.0.0.join(self.0.1.fetch_add(1, Ordering::Relaxed).to_string())
    }

    async fn bind(&self, family: Family) -> (Acceptor, Address) {
        match family {
            Family::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let at = listener.local_addr().unwrap();
                (Acceptor::Tcp(listener), Address::Tcp(at))
            }
            Family::Unix => {
                let path = self.next();
                (Acceptor::Unix(UnixListener::bind(&path).unwrap()), Address::Unix(path))
            }
        }
    }

    fn direct(&self, family: Family) -> Opener {
        let paths = self.clone();
        Box::new(move || {
            let paths = paths.clone();
            Box::pin(async move {
                let (accept, connect) = paths.bind(family).await;
                Lane { connect, accept, _forward: None }
            })
        })
    }

    fn through(&self, dialler: Dialler, [client, target]: [Family; 2]) -> Opener {
        let paths = self.clone();
        Box::new(move || {
            let (paths, dialler) = (paths.clone(), dialler.clone());
            Box::pin(async move {
                let (accept, target) = paths.bind(target).await;
                let (listener, connect) = paths.bind(client).await;
                let (listener, target) = (listener.into_listener(), target.as_target());
                let forward = match dialler {
                    Dialler::Server(server) => server.forward(listener, KEY, &target),
                    Dialler::Agent(agent) => agent.forward(listener, &target),
                };
                Lane { connect, accept, _forward: Some(forward) }
            })
        })
    }
}

impl Acceptor {
    fn into_listener(self) -> Listener {
        match self {
            Self::Tcp(listener) => Listener::Tcp(listener),
            Self::Unix(listener) => Listener::Unix(listener),
        }
    }
}

impl World {
    /// Starts all tunnels, also those of remotedialer's program if `with_go`.
    pub(crate) async fn start(with_go: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths(Arc::new((folder.path().to_path_buf(), AtomicU64::new(0))));
        let mut world = Self {
            direct: Route::new("direct", [Family::Tcp; 2], paths.direct(Family::Tcp)),
            direct_unix: Route::new("direct-unix", [Family::Unix; 2], paths.direct(Family::Unix)),
            routes: Vec::new(),
            servers: Vec::new(),
            agents: Vec::new(),
            go: Vec::new(),
            folder,
        };
        world.add_plain(&paths).await;
        world.add_tls(&paths).await;
        world.add_unix(&paths).await;
        world.add_peer(&paths).await;
        world.add_base(&paths).await;
        if with_go {
            world.add_go_agent(&paths).await;
            world.add_go_server(&paths).await;
        }
        world
    }

    /// Ends all tunnels, and demands that nothing is left of any of them.
    pub(crate) async fn end(self) {
        let Self { direct, direct_unix, routes, servers, agents, go, folder } = self;
        drop((direct, direct_unix, routes));
        for end in go {
            end.kill().await;
        }
        for agent in agents {
            let ledger = in_time(agent.shutdown(Duration::from_secs(10))).await;
            assert!(ledger.is_settled(), "{ledger:?}");
        }
        for server in servers {
            let ledger = in_time(server.shutdown(Duration::from_secs(10))).await;
            assert!(ledger.is_settled(), "{ledger:?}");
        }
        drop(folder);
    }

    /// Waits until no tunnel has a connection: every conversation is over.
    pub(crate) async fn is_quiet(&self, report: &Report) {
        let since = Instant::now();
        until(|| self.servers.iter().all(|server| server.ledger().connections.live == 0)).await;
        until(|| self.agents.iter().all(|agent| agent.ledger().connections.live == 0)).await;
        report.quiet_after(since.elapsed());
    }

    async fn pair(&mut self, server: Server, agent: AgentBuilder) -> (Server, Agent) {
        let agent = agent.policy(policy(self.folder.path())).start();
        in_time(agent.connected()).await.unwrap();
        until(|| server.client(KEY).is_some()).await;
        self.servers.push(server.clone());
        self.agents.push(agent.clone());
        (server, agent)
    }

    fn add(&mut self, paths: &Paths, name: &'static str, by: Dialler, families: [Family; 2]) {
        self.routes.push(Route::new(name, families, paths.through(by, families)));
    }

    async fn add_plain(&mut self, paths: &Paths) {
        let tcp = [Family::Tcp; 2];
        let builder = server().policy(policy(self.folder.path()));
        let server = builder.build();
        let at = listen(&server).await;
        let (server, agent) = self.pair(server, support::agent("ws", at, KEY)).await;
        self.add(paths, "websocket", Dialler::Server(server), tcp);
        self.add(paths, "websocket-back", Dialler::Agent(agent), tcp);
        let server = support::server().build();
        let at = listen(&server).await;
        let (server, _) = self.pair(server, support::agent("tcp", at, KEY)).await;
        self.add(paths, "stream", Dialler::Server(server), tcp);
    }

    async fn add_tls(&mut self, paths: &Paths) {
        let authority = Authority::new();
        let [certificate, key] = authority.sign("localhost");
        for (scheme, name) in [("wss", "websocket-tls"), ("tls", "stream-tls")] {
            let server = server().build();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (certificate, key) = (Path::new(&certificate), Path::new(&key));
            let tls = ServerTls::from_pem_files(certificate, key, None).unwrap();
            server.listen(listener, Some(tls));
            let trust = ClientTls::from_pem_files(Some(Path::new(&authority.ca())), None).unwrap();
            let endpoint = format!("{scheme}://localhost:{port}").parse().unwrap();
            let agent = Agent::builder(endpoint, KEY).token(TOKEN).tls(trust);
            let (server, _) = self.pair(server, agent).await;
            self.add(paths, name, Dialler::Server(server), [Family::Tcp; 2]);
        }
    }

    /// The session itself goes over a Unix socket, too.
    async fn add_unix(&mut self, paths: &Paths) {
        let server = server().build();
        let path = paths.next();
        server.listen_unix(UnixListener::bind(&path).unwrap());
        let endpoint = format!("unix:{}", path.display()).parse().unwrap();
        let (server, _) = self.pair(server, Agent::builder(endpoint, KEY).token(TOKEN)).await;
        for (name, families) in [
            ("unix", [Family::Unix; 2]),
            ("unix-client", [Family::Unix, Family::Tcp]),
            ("unix-target", [Family::Tcp, Family::Unix]),
        ] {
            self.add(paths, name, Dialler::Server(server.clone()), families);
        }
    }

    async fn add_peer(&mut self, paths: &Paths) {
        let token = |id: &str| format!("token of {id}");
        let mut hosts = Vec::new();
        for id in ["a", "b"] {
            let server = server().peering(PeerIdentity::new(id, &token(id))).build();
            hosts.push((id, listen(&server).await, server));
        }
        for (own, _, server) in &hosts {
            for (id, at, _) in hosts.iter().filter(|(id, ..)| id != own) {
                let endpoint = format!("ws://{at}").parse().unwrap();
                let peer = Peer::new(endpoint, id, &token(id)).proxy(ProxyPolicy::None);
                server.add_peer(peer).unwrap();
            }
        }
        let [(_, at, has), (_, _, dials)] = <[_; 2]>::try_from(hosts).unwrap();
        self.pair(has, support::agent("ws", at, KEY)).await;
        until(|| !dials.peers_of(KEY).is_empty()).await;
        self.servers.push(dials.clone());
        self.add(paths, "peer", Dialler::Server(dials), [Family::Tcp; 2]);
    }

    async fn add_base(&mut self, paths: &Paths) {
        let server = server().session(base_session()).build();
        let at = listen(&server).await;
        let agent = support::agent("ws", at, KEY).base_dialect().session(base_session());
        let (server, _) = self.pair(server, agent).await;
        let open = paths.through(Dialler::Server(server), [Family::Tcp; 2]);
        self.routes.push(Route::base("base", open));
    }

    async fn add_go_agent(&mut self, paths: &Paths) {
        let server = server().session(base_session()).build();
        let at = listen(&server).await;
        let mut lanes = Vec::new();
        let mut allow = Vec::new();
        for _ in 0..LANES {
            let (accept, target) = paths.bind(Family::Tcp).await;
            let (listener, connect) = paths.bind(Family::Tcp).await;
            let target = target.as_target();
            allow.push(target.trim_start_matches("tcp/").to_string());
            let forward = server.forward(listener.into_listener(), KEY, &target);
            lanes.push(Lane { connect, accept, _forward: Some(forward) });
        }
        let (url, allow) = (format!("ws://{at}/connect"), allow.join(","));
        let args = ["client", "--connect", &url, "--key", KEY, "--token", TOKEN, "--allow", &allow];
        self.go.push(GoEnd::start(Version::V0_6_2, &args).await);
        until(|| server.client(KEY).is_some()).await;
        self.servers.push(server);
        self.routes.push(Route::of_lanes("go-agent", lanes));
    }

    async fn add_go_server(&mut self, paths: &Paths) {
        let mut server = GoEnd::start(Version::V0_6_2, &["server", "--token", TOKEN]).await;
        let agent = support::agent("ws", server.address("agents"), KEY).session(base_session());
        let agent = agent.policy(policy(self.folder.path())).start();
        eventually(support::PATIENCE, "the agent at remotedialer", async || {
            if server.reaches(KEY).await { Ok(()) } else { Err("not connected".to_string()) }
        })
        .await;
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            let (accept, target) = paths.bind(Family::Tcp).await;
            let Address::Tcp(target) = target else { unreachable!("bound as TCP") };
            server.open_forward(KEY, target).await;
            let connect: SocketAddr = server.forward(target);
            lanes.push(Lane { connect: Address::Tcp(connect), accept, _forward: None });
        }
        self.agents.push(agent);
        self.go.push(server);
        self.routes.push(Route::of_lanes("go-server", lanes));
    }
}

/// Every target that a lane may have.
fn policy(folder: &Path) -> Policy {
    let unix = format!("unix/{}/*", folder.display());
    ["tcp/127.0.0.1:*".to_string(), unix].iter().map(|text| text.parse().unwrap()).collect()
}

fn base_session() -> SessionConfig {
    let mut config = SessionConfig::default();
    config.timing.linger = BASE_LINGER;
    config
}
