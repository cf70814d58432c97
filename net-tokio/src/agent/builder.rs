use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use watertight_core::wire::Dialect;
use watertight_core::{Reconnect, ReconnectConfig, SessionConfig};

use super::connector::{ByteStreams, Connector, TokenSource};
use super::link::Links;
use super::run::keep_connected;
use super::{Agent, AgentStatus, Host, Inner};
use crate::endpoint::{ConnectOptions, Endpoint, ProxyPolicy};
use crate::handshake::ClientHello;
use crate::kernel::Keepalive;
use crate::policy::Policy;
use crate::serve::{DialRefusal, Handler};
use crate::session::Buffers;
use crate::stream::Incoming;
use crate::tasks::Tasks;
use crate::tls::ClientTls;
use crate::transport::{Io, Masking, WRITE_BUFFER, WebSocketOptions};

/// Where an agent runs.
pub(crate) struct Home {
    pub(crate) tasks: Tasks,
    /// Ends the agent's attempts to connect, not its sessions.
    pub(crate) stop: CancellationToken,
    pub(crate) status: watch::Sender<AgentStatus>,
    /// Ends the wait before the next attempt, if it is waiting.
    pub(crate) retry_now: Arc<Notify>,
    pub(crate) host: Option<Arc<dyn Host>>,
    /// In which its tasks run.
    pub(crate) span: Span,
}

/// What an [`Agent`] is told before it starts. Only the endpoint and the key have no default.
pub struct AgentBuilder {
    endpoint: Endpoint,
    options: ConnectOptions,
    hello: ClientHello,
    handler: Handler,
    keepalive: Keepalive,
    session: SessionConfig,
    reconnect: ReconnectConfig,
    seed: Option<u64>,
    deadline: Duration,
    byte_streams: Option<ByteStreams>,
    token: Option<TokenSource>,
    masking: Masking,
    write_buffer: usize,
    buffers: Buffers,
}

impl Agent {
    /// An agent that connects to `endpoint` as the client `key`. Unless it is told what may be
    /// dialled, it refuses every dial.
    #[must_use]
    pub fn builder(endpoint: Endpoint, key: &str) -> AgentBuilder {
        AgentBuilder::new(endpoint, ClientHello::new(key))
    }
}

impl AgentBuilder {
    pub(crate) fn new(endpoint: Endpoint, hello: ClientHello) -> Self {
        Self {
            endpoint,
            options: ConnectOptions::default(),
            hello,
            handler: Handler::by_policy(Policy::default()),
            keepalive: Keepalive::default(),
            session: SessionConfig::default(),
            reconnect: ReconnectConfig::default(),
            seed: None,
            deadline: Duration::from_secs(20),
            byte_streams: None,
            token: None,
            masking: Masking::ByRole,
            write_buffer: WRITE_BUFFER,
            buffers: Buffers::default(),
        }
    }

    /// The token that proves to the server that the key is ours.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.hello.set_token(token);
        self
    }

    /// Asks for the token before each attempt to connect, on a thread that may block: for tokens
    /// that change.
    #[must_use]
    pub fn token_with(mut self, token: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.token = Some(TokenSource::new(token));
        self
    }

    /// A header for the upgrade request, for servers that want to see more than key and token.
    /// Not sent on byte streams.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.hello.add_header(name, value);
        self
    }

    /// Speaks the base protocol even to a server that speaks the extension: for tests of what a
    /// remotedialer end would see.
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

    /// Dials by the embedder's own means instead of a policy: `dialer` is given the target in the
    /// other end's words.
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
    /// of the session. One that panics refuses its dial or resets its stream, and no other.
    #[must_use]
    pub fn handler<F, A>(mut self, handler: F) -> Self
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
        self.options.tls = Some(tls);
        self
    }

    /// Which HTTP proxy to go through. The default is what the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: ProxyPolicy) -> Self {
        self.options.proxy = proxy;
        self
    }

    /// Reaches the server by the embedder's own means: `connect` makes the byte stream, and the
    /// endpoint only says what is spoken on it. Proxy and TLS are then the embedder's, too. Where it
    /// panics, the attempt has failed.
    ///
    /// A `TcpStream`, boxed or not, is asked how much of a long queue the server has taken. Of any other
    /// stream only its writability is known, so that a slow link counts as stalled when the stream is not
    /// writable for [`Timing::stall`](watertight_core::session::Timing::stall).
    #[must_use]
    pub fn connect_with<F, A, I>(mut self, connect: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<I>> + Send + 'static,
        I: Io,
    {
        self.byte_streams = Some(ByteStreams::new(connect));
        self
    }

    /// How long the machine of a target, or of a forward's user, may be silent before its connection is
    /// given up.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Limits and times of each session.
    #[must_use]
    pub fn session(mut self, config: SessionConfig) -> Self {
        self.session = config;
        self
    }

    /// What the agent's sessions may hold, together with others that have this bound: 1 GiB unless set.
    #[must_use]
    pub fn buffers(mut self, buffers: Buffers) -> Self {
        self.buffers = buffers;
        self
    }

    /// Takes no session of a server that speaks the base dialect only, as remotedialer does: that one knows
    /// no credit, so that a server's bytes are held by the bounds of a whole session.
    #[must_use]
    pub fn extended_only(mut self) -> Self {
        self.hello.demand_extension();
        self
    }

    /// How long to wait before connecting again.
    #[must_use]
    pub fn reconnect(mut self, config: ReconnectConfig) -> Self {
        self.reconnect = config;
        self
    }

    /// Seeds the jitter of the waiting times, which is random otherwise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long one attempt to connect may take: 20 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends unmasked WebSocket frames to a server that is told to take them. For simulations only:
    /// masks are the one thing on the wire that has no seed.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.masking = Masking::Off;
        self
    }

    /// Bytes that wait in a WebSocket before it writes by itself. For simulations only, which fill it
    /// with the few bytes that they have.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn write_buffer(mut self, bytes: usize) -> Self {
        self.write_buffer = bytes.min(WRITE_BUFFER);
        self
    }

    pub(crate) fn masking(mut self, masking: Masking) -> Self {
        self.masking = masking;
        self
    }

    pub(crate) fn handled_by(mut self, handler: Handler) -> Self {
        self.handler = handler;
        self
    }

    pub(crate) fn by(mut self, byte_streams: Option<ByteStreams>) -> Self {
        self.byte_streams = byte_streams;
        self
    }

    pub(crate) fn seeded(mut self, seed: Option<u64>) -> Self {
        self.seed = seed;
        self
    }

    /// Connects to this address instead of those of the endpoint's host.
    pub(crate) fn at_address(mut self, address: Option<IpAddr>) -> Self {
        self.options.address = address;
        self
    }

    /// Starts the agent in the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(self) -> Agent {
        let tasks = Tasks::new();
        let kill = Arc::new(tasks.kill_on_drop());
        let status = watch::Sender::new(AgentStatus::Connecting);
        let stop = CancellationToken::new();
        let (retry_now, span) = (Arc::default(), Span::none());
        let home = Home { tasks, stop, status, retry_now, host: None, span };
        Agent { inner: self.run(home, Links::default()), _kill: kill }
    }

    /// Starts the agent as a part of something else, which sees to its end.
    pub(crate) fn start_at(self, home: Home) {
        self.run(home, Links::hosted());
    }

    fn run(self, home: Home, links: Links) -> Arc<Inner> {
        // Transports must take what the session takes.
        let session = self.session.within_bounds();
        let connector = Connector {
            endpoint: self.endpoint,
            options: self.options,
            hello: self.hello,
            deadline: self.deadline,
            byte_streams: self.byte_streams,
            token: self.token,
            web_socket: WebSocketOptions {
                max_message: session.limits.max_message,
                max_extended: session.limits.max_message_in(Dialect::Extended),
                masking: self.masking,
                write_buffer: self.write_buffer,
            },
        };
        let inner = Arc::new(Inner {
            connector,
            handler: self.handler,
            keepalive: self.keepalive,
            session,
            tasks: home.tasks,
            stop: home.stop,
            links,
            status: home.status,
            retry_now: home.retry_now,
            limits: Arc::default(),
            buffers: self.buffers,
            host: home.host,
        });
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one(()));
        let reconnect = Reconnect::new(self.reconnect, seed);
        inner.tasks.spawn(keep_connected(Arc::clone(&inner), reconnect).instrument(home.span));
        inner
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder")
            .field("endpoint", &self.endpoint)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
