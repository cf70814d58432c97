use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Ended, PATIENCE, Watertight, Witness, eventually};

pub const KEY: &str = "edge-7";

pub const TOKEN: &str = "a-token-for-tests";

/// A server and an agent, each a process, with a session between them.
#[derive(Debug)]
pub struct Tunnel {
    pub server: Watertight,
    pub agent: Watertight,
    builder: TunnelBuilder,
}

/// What a tunnel is started with.
#[derive(Debug)]
pub struct TunnelBuilder {
    scheme: &'static str,
    listen: String,
    allow: Vec<String>,
    server_args: Vec<String>,
    agent_args: Vec<String>,
    folder: TempDir,
}

impl Tunnel {
    pub fn over(scheme: &'static str) -> TunnelBuilder {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        TunnelBuilder {
            scheme,
            listen: "127.0.0.1:0".to_string(),
            allow: vec!["127.0.0.1:*".to_string()],
            server_args: Vec::new(),
            agent_args: Vec::new(),
            folder,
        }
    }

    /// A tunnel over a WebSocket with forwards to `targets`.
    pub async fn start(targets: &[SocketAddr]) -> Self {
        let builder = Self::over("ws");
        targets.iter().fold(builder, |builder, target| builder.forward(target)).start().await
    }

    /// The local port of the forward to `target`.
    pub fn forward(&self, target: SocketAddr) -> SocketAddr {
        self.server.address(&format!("forward {KEY}=tcp/{target}"))
    }

    /// The path of the admin server's proxy that leads to `path` of an HTTP server.
    pub fn proxied(target: SocketAddr, path: &str) -> String {
        format!("/client/{KEY}/http/{target}{path}")
    }

    /// A connection through the tunnel that is never to be disturbed, to a service that echoes.
    pub async fn witness(&self, echo: SocketAddr) -> Witness {
        Witness::start(self.forward(echo)).await
    }

    /// Kills the agent, and returns a tunnel with another one in its place.
    pub async fn replace_agent(self, meanwhile: impl AsyncFnOnce(&Watertight)) -> Self {
        let Self { server, agent, builder } = self;
        agent.kill().await;
        meanwhile(&server).await;
        let agent = builder.start_agent(&server).await;
        Self { server, agent, builder }
    }

    /// Kills the server, and returns a tunnel with another one on the same port in its place.
    pub async fn replace_server(self, meanwhile: impl AsyncFnOnce(&Watertight)) -> Self {
        let Self { server, agent, mut builder } = self;
        builder.listen = server.addresses("agents")[0].to_string();
        server.kill().await;
        meanwhile(&agent).await;
        let server = builder.start_server().await;
        await_client(&server).await;
        Self { server, agent, builder }
    }

    /// A file of this tunnel's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.builder.folder.path().join(name)
    }

    /// Where agents connect.
    pub fn endpoint(&self) -> String {
        self.builder.endpoint(&self.server)
    }

    /// Ends both ends in good order and demands that nothing is left of either.
    pub async fn end(self) -> (Ended, Ended) {
        let agent = self.agent.terminate().await;
        agent.is_even();
        let server = self.server.terminate().await;
        server.is_even();
        (server, agent)
    }
}

impl TunnelBuilder {
    /// A port of the server whose connections go to `target`.
    pub fn forward(self, target: impl ToString) -> Self {
        let spec = format!("127.0.0.1:0={KEY}={}", target.to_string());
        self.server(["--forward", &spec])
    }

    /// Where the server listens for agents.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_string();
        self
    }

    /// One more pattern of what may be dialled. Any port of 127.0.0.1 may, in any case.
    pub fn allow(mut self, pattern: &str) -> Self {
        self.allow.push(pattern.to_string());
        self
    }

    /// More arguments of the server.
    pub fn server<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.server_args.extend(args.map(String::from));
        self
    }

    /// More arguments of the agent.
    pub fn agent<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.agent_args.extend(args.map(String::from));
        self
    }

    pub async fn start(self) -> Tunnel {
        let server = self.start_server().await;
        let agent = self.start_agent(&server).await;
        Tunnel { server, agent, builder: self }
    }

    async fn start_server(&self) -> Watertight {
        let token_file = self.token_file();
        let args = ["server", "--listen", &self.listen, "--admin", "127.0.0.1:0"];
        let args = args.into_iter().chain(["--token-file", &token_file]);
        Watertight::start(args.chain(self.server_args.iter().map(String::as_str))).await
    }

    async fn start_agent(&self, server: &Watertight) -> Watertight {
        let (token_file, endpoint) = (self.token_file(), self.endpoint(server));
        let args = ["agent", "--connect", &endpoint, "--key", KEY, "--token-file", &token_file];
        let args = args.into_iter().chain(["--allow"]).chain(self.allow.iter().map(String::as_str));
        let agent = Watertight::start(args.chain(self.agent_args.iter().map(String::as_str))).await;
        await_client(server).await;
        agent
    }

    fn endpoint(&self, server: &Watertight) -> String {
        let address = server.addresses("agents")[0];
        match self.scheme {
            "unix" => address.to_string(),
            // Certificates are for a name.
            "wss" | "tls" => {
                let port = server.address("agents").port();
                format!("{}://localhost:{port}/connect", self.scheme)
            }
            scheme => format!("{scheme}://{address}/connect"),
        }
    }

    fn token_file(&self) -> String {
        self.folder.path().join("token").display().to_string()
    }
}

/// Waits until the agent's session is up.
async fn await_client(server: &Watertight) {
    eventually(PATIENCE, "a session of the agent", async || {
        let clients = server.clients().await;
        if clients == [KEY] { Ok(()) } else { Err(format!("{clients:?}")) }
    })
    .await;
}
