//! Builds agents.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use watertight_core::{ReconnectConfig, SessionConfig};

use super::sessions::{AgentSessions, keep_connected};
use super::{Agent, Inner};
use crate::connect::{
    AgentStatus, ByteStreams, ConnectSettings, Connecting, Connector, LinkControl, TokenSource,
};
use crate::endpoint::{Endpoint, ProxyPolicy};
use crate::handshake::ClientHello;
use crate::io::Io;
use crate::kernel::Keepalive;
use crate::policy::Policy;
use crate::serve::{DialRefusal, Handler};
use crate::session::Buffers;
use crate::stream::Incoming;
use crate::tasks::Tasks;
use crate::tls::ClientTls;
use crate::transport::{Masking, WRITE_BUFFER, WebSocketOptions};

/// Configures an [`Agent`]. Everything but the endpoint and the key has a default.
pub struct AgentBuilder {
    connect: ConnectSettings,
    hello: ClientHello,
    handler: Handler,
    keepalive: Keepalive,
    session: SessionConfig,
    token: Option<TokenSource>,
    masking: Masking,
    write_buffer: usize,
    buffers: Buffers,
}

impl Agent {
    /// An agent that connects to `endpoint` as the client `key`. Without a policy or a handler it
    /// refuses every dial.
    #[must_use]
    pub fn builder(endpoint: Endpoint, key: &str) -> AgentBuilder {
        AgentBuilder::new(endpoint, key)
    }
}

impl AgentBuilder {
    fn new(endpoint: Endpoint, key: &str) -> Self {
        Self {
            connect: ConnectSettings::new(endpoint),
            hello: ClientHello::new(key),
            handler: Handler::by_policy(Policy::default()),
            keepalive: Keepalive::default(),
            session: SessionConfig::default(),
            token: None,
            masking: Masking::ByRole,
            write_buffer: WRITE_BUFFER,
            buffers: Buffers::default(),
        }
    }

    /// The token that proves to the server that the agent may use its key.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.hello.set_token(token);
        self
    }

    /// Calls `token` before each attempt to connect, on a thread that may block: for tokens that
    /// change.
    #[must_use]
    pub fn token_with(mut self, token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.token = Some(TokenSource::new(token));
        self
    }

    /// A header for the upgrade request, for servers that need more than key and token. Byte
    /// streams do not carry it.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.hello.add_header(name, value);
        self
    }

    /// Speaks the base protocol even to a server that offers the extension: for tests of the base
    /// dialect.
    #[must_use]
    pub fn base_dialect(mut self) -> Self {
        self.hello.set_base_dialect();
        self
    }

    /// What may be dialled. The default is nothing.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.handler = Handler::by_policy(policy);
        self
    }

    /// Dials by the embedder's own means instead of a policy: `dialer` gets the target as the
    /// remote sent it.
    #[must_use]
    pub fn dialer<F, A, I>(mut self, dialer: F) -> Self
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = Result<I, DialRefusal>> + Send + 'static,
        I: Io,
    {
        self.handler = Handler::by_dialer(dialer);
        self
    }

    /// Answers dials without any socket: `handler` gets each dial and serves its stream, in a task
    /// of the session. A handler that panics refuses its dial or resets its stream, and affects no
    /// other.
    #[must_use]
    pub fn dial_handler<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.handler = Handler::new(handler);
        self
    }

    /// Trust and identity for `wss` and `tls` endpoints. The default trusts the system's roots.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.connect.options.tls = Some(tls);
        self
    }

    /// The HTTP proxy to connect through. The default is that of the environment.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyPolicy) -> Self {
        self.connect.options.proxy = proxy;
        self
    }

    /// Reaches the server by the embedder's own means: `connect` makes the byte stream, and the
    /// endpoint only determines the protocol on it. Proxy and TLS are then the embedder's, too. A
    /// panic of it fails the attempt.
    ///
    /// A `TcpStream`, boxed or not, is asked how much of a long queue the server has taken. Of any
    /// other stream only its writability is known, so that a slow link counts as stalled when the
    /// stream is not writable for [`Timing::stall`](watertight_core::session::Timing::stall).
    #[must_use]
    pub fn connect_with<F, A, I>(mut self, connect: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<I>> + Send + 'static,
        I: Io,
    {
        self.connect.byte_streams = Some(ByteStreams::new(connect));
        self
    }

    /// How long the machine of a target, or of a forward's user, may be silent before its
    /// connection is reset.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Limits and timeouts of each session.
    #[must_use]
    pub fn session(mut self, config: SessionConfig) -> Self {
        self.session = config;
        self
    }

    /// The bound of the bytes that the agent's sessions hold, together with other users of the same
    /// bound: 1 GiB unless set.
    #[must_use]
    pub fn buffers(mut self, buffers: Buffers) -> Self {
        self.buffers = buffers;
        self
    }

    /// Refuses servers that speak only the base dialect, as remotedialer does. The base dialect has
    /// no credit, so that only the bounds of a whole session limit a server's bytes.
    #[must_use]
    pub fn extended_only(mut self) -> Self {
        self.hello.demand_extension();
        self
    }

    /// How long to wait before connecting again.
    #[must_use]
    pub fn reconnect(mut self, config: ReconnectConfig) -> Self {
        self.connect.reconnect = config;
        self
    }

    /// Seeds the jitter of the backoff, which is random otherwise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.connect.seed = Some(seed);
        self
    }

    /// The timeout of one attempt to connect: 20 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect.timeout = timeout;
        self
    }

    /// Sends unmasked WebSocket frames to a server that accepts them. For simulations only: masks
    /// are the one thing on the wire that has no seed.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.masking = Masking::Off;
        self
    }

    /// The bytes that a WebSocket queues before it writes by itself. For simulations only, which
    /// fill it with the few bytes that they have.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn write_buffer(mut self, bytes: usize) -> Self {
        self.write_buffer = bytes.min(WRITE_BUFFER);
        self
    }

    /// Starts the agent in the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(self) -> Agent {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let kill = Arc::new(tasks.kill_on_drop());
        let status = watch::Sender::new(AgentStatus::Connecting);
        // Transports must accept every message that the session accepts.
        let session = self.session.within_bounds();
        let web_socket = WebSocketOptions::of_session(&session, self.masking, self.write_buffer);
        let limits = Arc::default();
        let inner = Arc::new(Inner {
            endpoint: self.connect.endpoint.clone(),
            key: self.hello.client_key().to_string(),
            handler: self.handler,
            keepalive: self.keepalive,
            session,
            tasks,
            stop: stop.clone(),
            sessions: AgentSessions::default(),
            status: status.clone(),
            limits: Arc::clone(&limits),
            buffers: self.buffers,
        });
        let control = LinkControl { stop, retry_now: Arc::default(), status };
        let connector = Connector::new(self.connect, self.hello, self.token, web_socket);
        let connecting = Connecting::new(connector, control, limits);
        inner.tasks.spawn(keep_connected(Arc::clone(&inner), connecting));
        Agent { inner, _kill: kill }
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("endpoint", &self.connect.endpoint)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
