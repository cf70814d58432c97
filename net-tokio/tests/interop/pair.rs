use std::net::SocketAddr;

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
    /// Both ours, with the offer of the extension taken out on the way.
    OursInBase,
}

/// A scenario for a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) scenario: &'static str,
}

/// A server and an agent, each a process, with a relay between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) server: End,
    pub(crate) agent: End,
    pub(crate) relay: Relay,
    builder: PairBuilder,
    _turn: Option<SemaphorePermit<'static>>,
}

/// What a pair is started with.
#[derive(Debug)]
pub(crate) struct PairBuilder {
    case: Case,
    /// What the server dials at the agent.
    forwards: Vec<SocketAddr>,
    /// What the agent dials at the server.
    backwards: Vec<SocketAddr>,
    /// What nobody may dial.
    forbidden: Vec<SocketAddr>,
    args: Vec<String>,
    sleeps: bool,
    folder: TempDir,
}

/// Scenarios that keep a processor busy at the same time.
static BUSY: Semaphore = Semaphore::const_new(2);

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GoServer(Version::V0_6_2) => "go_server",
            Self::GoServer(Version::V0_6_1) => "go_server_v0_6_1",
            Self::GoClient(Version::V0_6_2) => "go_client",
            Self::GoClient(Version::V0_6_1) => "go_client_v0_6_1",
            Self::OursInBase => "ours_in_base",
        }
    }
}

impl Pair {
    pub(crate) fn of(case: Case) -> PairBuilder {
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("token"), TOKEN);
        PairBuilder {
            case,
            forwards: Vec::new(),
            backwards: Vec::new(),
            forbidden: Vec::new(),
            args: Vec::new(),
            sleeps: false,
            folder,
        }
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

    pub(crate) const fn case(&self) -> Case {
        self.builder.case
    }

    /// A connection through the tunnel that is never to be disturbed, to a service that echoes.
    pub(crate) async fn witness(&self, echo: SocketAddr) -> Witness {
        Witness::over(connect(self.forward(echo)).await).await
    }

    /// Kills the agent, and starts another one in its place.
    pub(crate) async fn replace_agent(self, meanwhile: impl AsyncFnOnce(&End)) -> Self {
        let Self { server, agent, relay, builder, _turn } = self;
        agent.kill().await;
        meanwhile(&server).await;
        let agent = builder.start_agent(&relay).await;
        await_client(&server).await;
        Self { server, agent, relay, builder, _turn }
    }

    /// Kills the server, and starts another one in its place.
    pub(crate) async fn replace_server(self, meanwhile: impl AsyncFnOnce(&End)) -> Self {
        let Self { server, agent, relay, builder, _turn } = self;
        server.kill().await;
        meanwhile(&agent).await;
        let server = builder.start_server().await;
        relay.redirect(server.agents());
        await_client(&server).await;
        Self { server, agent, relay, builder, _turn }
    }
}

impl PairBuilder {
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
        let server = self.start_server().await;
        let offer =
            if self.case.kind == Kind::OursInBase { Offer::TakenOut } else { Offer::Passed };
        let relay = Relay::to(server.agents(), offer).await;
        let agent = self.start_agent(&relay).await;
        await_client(&server).await;
        Pair { server, agent, relay, builder: self, _turn: turn }
    }

    async fn start_server(&self) -> End {
        let Kind::GoServer(version) = self.case.kind else { return self.start_our_server().await };
        let allow = list(&self.backwards);
        let mut server =
            GoEnd::start(version, &["server", "--token", TOKEN, "--allow", &allow]).await;
        for target in &self.forwards {
            server.open_forward(KEY, *target).await;
        }
        End::Go(server)
    }

    async fn start_our_server(&self) -> End {
        let token_file = self.token_file();
        let args = ["server", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut args = owned(&args);
        args.extend(owned(&["--token-file", &token_file]));
        for target in &self.forwards {
            args.extend(["--forward".to_string(), format!("127.0.0.1:0={KEY}={target}")]);
        }
        for target in &self.backwards {
            args.extend(["--allow-dial".to_string(), target.to_string()]);
        }
        args.extend(self.args.iter().cloned());
        End::Ours(Watertight::start(args).await)
    }

    async fn start_agent(&self, relay: &Relay) -> End {
        let url = format!("ws://{}/connect", relay.at);
        let allowed: Vec<_> =
            self.forwards.iter().filter(|at| !self.forbidden.contains(at)).copied().collect();
        let Kind::GoClient(version) = self.case.kind else {
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
        let token_file = self.token_file();
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

    fn token_file(&self) -> String {
        self.folder.path().join("token").display().to_string()
    }
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().copied().map(String::from).collect()
}

fn list(targets: &[SocketAddr]) -> String {
    targets.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// Waits until the agent's session is up.
pub(crate) async fn await_client(server: &End) {
    eventually(PATIENCE, "a session of the agent", async || {
        let clients = server.clients().await;
        if clients == [KEY] { Ok(()) } else { Err(format!("{clients:?}")) }
    })
    .await;
}
