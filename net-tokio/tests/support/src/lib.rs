//! A server, an agent and targets in this process, with real sockets between them: for the tests of the
//! library and of the program.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use watertight::proto::SessionConfig;
use watertight::{Agent, AgentBuilder, Policy, Refusal, Server, ServerBuilder};

/// The longest time of anything in a test before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Fails the test if `what` takes too long.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// Waits until `condition` holds, by the work of other tasks.
pub async fn until(mut condition: impl FnMut() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The token that the server knows.
pub const TOKEN: &str = "a-token-for-tests";

/// Timeouts of dials and ends that do not pass while a test waits.
pub fn patient() -> SessionConfig {
    let mut config = SessionConfig::default();
    config.timing.dial = 10 * PATIENCE;
    config.timing.linger = 10 * PATIENCE;
    config
}

/// A server that knows one token, and accepts any client key with it.
pub fn server() -> ServerBuilder {
    let builder = Server::builder(|request| async move {
        match (request.client_key, request.token.as_deref()) {
            (Some(key), Some(TOKEN)) => Ok(key),
            (None, _) => Err(Refusal::unauthorized("no client key")),
            (_, None) => Err(Refusal::unauthorized("no token")),
            (_, Some(_)) => Err(Refusal::unauthorized("unknown token")),
        }
    });
    builder.session(patient())
}

/// A port that agents can connect to.
pub async fn listen(server: &Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    server.listen(listener, None);
    at
}

/// An agent that may dial every port of this machine.
pub fn agent(scheme: &str, at: SocketAddr, key: &str) -> AgentBuilder {
    let endpoint = format!("{scheme}://{at}").parse().unwrap();
    Agent::builder(endpoint, key).token(TOKEN).policy(loopback()).session(patient()).seed(1)
}

/// Every TCP port of this machine.
pub fn loopback() -> Policy {
    ["tcp/127.0.0.1:*".parse().unwrap()].into_iter().collect()
}

/// A server with one connected agent.
pub struct Tunnel {
    /// The server.
    pub server: Server,
    /// The agent, with the client key [`KEY`].
    pub agent: Agent,
    /// The server's address for agents.
    pub at: SocketAddr,
}

/// The client key of a [`Tunnel`]'s agent.
pub const KEY: &str = "edge-7";

impl Tunnel {
    /// A server and an agent with their defaults, and `scheme` between them.
    pub async fn start(scheme: &str) -> Self {
        Self::with(server(), |agent| agent, scheme).await
    }

    /// The server, and the agent after `build`, with `scheme` between them.
    pub async fn with(
        server: ServerBuilder,
        build: impl FnOnce(AgentBuilder) -> AgentBuilder,
        scheme: &str,
    ) -> Self {
        let server = server.build();
        let at = listen(&server).await;
        let agent = build(agent(scheme, at, KEY)).start();
        in_time(agent.connected()).await.unwrap();
        until(|| !server.clients().is_empty()).await;
        Self { server, agent, at }
    }

    /// Shuts both ends down and asserts that nothing is left of either.
    pub async fn end(self) {
        let agent = in_time(self.agent.shutdown(Duration::from_secs(5))).await;
        assert!(agent.is_settled(), "{agent:?}");
        let server = in_time(self.server.shutdown(Duration::from_secs(5))).await;
        assert!(server.is_settled(), "{server:?}");
    }
}

/// A TCP service for as long as it is held.
pub struct Target {
    /// Its address.
    pub at: SocketAddr,
    task: JoinHandle<()>,
}

impl Target {
    /// Serves each connection with `serve`.
    pub async fn start<F, A>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket));
            }
        });
        Self { at, task }
    }

    /// Echoes the bytes that arrive, and their end.
    pub async fn echo() -> Self {
        Self::start(|mut socket| async move {
            let (mut read, mut write) = socket.split();
            copy(&mut read, &mut write).await.ok();
            write.shutdown().await.ok();
        })
        .await
    }

    /// Answers with the number of bytes, after their end.
    pub async fn count() -> Self {
        Self::start(|mut socket| async move {
            let mut total = 0u64;
            let mut chunk = vec![0; 64 << 10];
            while let Ok(read @ 1..) = socket.read(&mut chunk).await {
                total += read as u64;
            }
            socket.write_all(&total.to_be_bytes()).await.ok();
            socket.shutdown().await.ok();
        })
        .await
    }

    /// Sends bytes for as long as they are accepted.
    pub async fn pour() -> Self {
        Self::start(|mut socket| async move {
            let chunk = vec![7; 64 << 10];
            while socket.write_all(&chunk).await.is_ok() {}
        })
        .await
    }

    /// As a dial's target.
    pub fn target(&self) -> String {
        format!("tcp/{}", self.at)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}
