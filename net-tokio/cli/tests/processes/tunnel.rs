//! A server and an agent as processes with a session between them, and the builder for them.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Ended, PATIENCE, Watertight, Witness, eventually};

pub(crate) const KEY: &str = "edge-7";

/// Good for any client key.
pub(crate) const TOKEN: &str = "a-token-for-tests";

/// Good for the client key `lab` alone.
pub(crate) const LAB_TOKEN: &str = "a-token-for-the-lab";

/// A server and an agent, each a process, with a session between them.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) server: Watertight,
    pub(crate) agent: Watertight,
    builder: TunnelBuilder,
}

/// The settings of a tunnel.
#[derive(Debug)]
pub(crate) struct TunnelBuilder {
    scheme: &'static str,
    listen: String,
    allow: Vec<String>,
    server_args: Vec<String>,
    agent_args: Vec<String>,
    folder: TempDir,
}

impl Tunnel {
    pub(crate) fn by(scheme: &'static str) -> TunnelBuilder {
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("token"), TOKEN);
        write_private(&folder.path().join("tokens"), &format!("{TOKEN}\nlab {LAB_TOKEN}\n"));
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
    pub(crate) async fn start(targets: &[SocketAddr]) -> Self {
        let builder = Self::by("ws");
        targets.iter().fold(builder, |builder, target| builder.forward(target)).start().await
    }

    /// The local port of the forward to `target`.
    pub(crate) fn forward(&self, target: SocketAddr) -> SocketAddr {
        self.server.address(&format!("forward {KEY}=tcp/{target}"))
    }

    /// The path of the admin server's proxy that leads to `path` of an HTTP server.
    pub(crate) fn proxied(target: SocketAddr, path: &str) -> String {
        format!("/client/{KEY}/http/{target}{path}")
    }

    /// A connection through the tunnel that is never to be disturbed, to a service that echoes.
    pub(crate) async fn witness(&self, echo: SocketAddr) -> Witness {
        Witness::start(self.forward(echo)).await
    }

    /// Kills the agent, and returns a tunnel with another one.
    pub(crate) async fn replace_agent(self, meanwhile: impl AsyncFnOnce(&Watertight)) -> Self {
        let Self { server, agent, builder } = self;
        agent.kill().await;
        meanwhile(&server).await;
        let agent = builder.start_agent(&server).await;
        Self { server, agent, builder }
    }

    /// Kills the server, and returns a tunnel with another one on the same port.
    pub(crate) async fn replace_server(self, meanwhile: impl AsyncFnOnce(&Watertight)) -> Self {
        let Self { server, agent, mut builder } = self;
        builder.listen = server.addresses("agents")[0].to_string();
        server.kill().await;
        meanwhile(&agent).await;
        let server = builder.start_server().await;
        await_client(&server).await;
        Self { server, agent, builder }
    }

    /// A file of this tunnel's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.builder.folder.path().join(name)
    }

    /// A file of this tunnel's that only its owner can read. Returns its path.
    pub(crate) fn private_file(&self, name: &str, content: &str) -> String {
        write_private(&self.file(name), content);
        self.builder.path(name)
    }

    /// Ends both ends in good order and demands that nothing is left of either.
    pub(crate) async fn end(self) -> (Ended, Ended) {
        let agent = self.agent.terminate().await;
        agent.is_settled();
        let server = self.server.terminate().await;
        server.is_settled();
        (server, agent)
    }
}

impl TunnelBuilder {
    /// A port of the server whose connections go to `target`.
    pub(crate) fn forward(self, target: impl ToString) -> Self {
        let spec = format!("127.0.0.1:0={KEY}={}", target.to_string());
        self.server(["--forward", &spec])
    }

    /// Where the server listens for agents.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_string();
        self
    }

    /// One more pattern of what may be dialled. Any port of 127.0.0.1 may, in any case.
    pub(crate) fn allow(mut self, pattern: &str) -> Self {
        self.allow.push(pattern.to_string());
        self
    }

    /// The patterns of targets that may be dialled, instead of any port of 127.0.0.1.
    pub(crate) fn allow_only(mut self, patterns: &[&str]) -> Self {
        self.allow = patterns.iter().map(ToString::to_string).collect();
        self
    }

    /// More arguments of the server.
    pub(crate) fn server<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.server_args.extend(args.map(String::from));
        self
    }

    /// More arguments of the agent.
    pub(crate) fn agent<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.agent_args.extend(args.map(String::from));
        self
    }

    pub(crate) async fn start(self) -> Tunnel {
        let server = self.start_server().await;
        let agent = self.start_agent(&server).await;
        Tunnel { server, agent, builder: self }
    }

    async fn start_server(&self) -> Watertight {
        let token_file = self.path("tokens");
        let args = ["server", "--listen", &self.listen, "--admin", "127.0.0.1:0"];
        let args = args.into_iter().chain(["--token-file", &token_file]);
        Watertight::start(args.chain(self.server_args.iter().map(String::as_str))).await
    }

    async fn start_agent(&self, server: &Watertight) -> Watertight {
        let (token_file, endpoint) = (self.path("token"), self.endpoint(server));
        let args = ["agent", "--connect", &endpoint, "--key", KEY, "--token-file", &token_file];
        let args = args.into_iter().chain(["--allow"]).chain(self.allow.iter().map(String::as_str));
        let agent = Watertight::start(args.chain(self.agent_args.iter().map(String::as_str))).await;
        await_client(server).await;
        agent
    }

    fn endpoint(&self, server: &Watertight) -> String {
        let address = server.addresses("agents")[0];
        // Certificates are for a name.
        let named = address.replace("127.0.0.1", "localhost");
        match self.scheme {
            "unix" => address.to_string(),
            "ws" => format!("ws://{address}/connect"),
            "wss" => format!("wss://{named}/connect"),
            "tls" => format!("tls://{named}"),
            scheme => format!("{scheme}://{address}"),
        }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }
}

/// Writes a file that others cannot read, as the program wants it of its tokens.
pub(crate) fn write_private(path: &Path, content: &str) {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// Waits until the agent's session is up.
async fn await_client(server: &Watertight) {
    eventually(PATIENCE, "a session of the agent", async || {
        let clients = server.clients().await;
        if clients == [KEY] { Ok(()) } else { Err(format!("{clients:?}")) }
    })
    .await;
}
