//! Configures and starts servers.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use watertight_core::SessionConfig;
use watertight_core::registry::RegistryLimits;

use super::auth::Authenticator;
use super::handshakes::Handshakes;
use super::peering::PeerIdentity;
use super::permits::RateLimit;
use super::sessions::Sessions;
use super::superseded::Takeovers;
use super::{Inner, Server};
use crate::kernel::Keepalive;
use crate::log_limit::{LogLimit, LogLimits};
use crate::policy::Policy;
use crate::serve::Handler;
use crate::session::Buffers;
use crate::stream::Incoming;
use crate::tasks::Tasks;
use crate::transport::{Masking, WRITE_BUFFER, WebSocketOptions};

/// Events that a slow subscriber can be behind before it loses the oldest.
const EVENTS: usize = 1024;

/// Warnings a minute about clients whose sessions replace each other. A remote with a token for
/// many keys can cause any number; those left out are counted, and each is in the metrics.
const TAKEOVERS: u32 = 100;

/// Configures a [`Server`]. Everything has a default.
pub struct ServerBuilder {
    authenticator: Authenticator,
    client_dials: Handler,
    keepalive: Keepalive,
    session: SessionConfig,
    registry: RegistryLimits,
    masking: Masking,
    write_buffer: usize,
    handshake_timeout: Duration,
    max_handshakes: usize,
    min_turn: Duration,
    session_interval: Duration,
    connect_path: String,
    identity: Option<PeerIdentity>,
    buffers: Buffers,
}

impl ServerBuilder {
    pub(super) fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator,
            client_dials: Handler::refusing("this server does not let its clients dial"),
            keepalive: Keepalive::default(),
            session: SessionConfig::default(),
            registry: RegistryLimits::default(),
            masking: Masking::ByRole,
            write_buffer: WRITE_BUFFER,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 1024,
            min_turn: Duration::from_secs(30),
            session_interval: Duration::from_secs(1),
            connect_path: "/connect".to_string(),
            identity: None,
            buffers: Buffers::default(),
        }
    }

    /// Lets clients dial through the server: `answer` gets each dial with the client's key, in a
    /// task of the session. Without it every such dial is refused.
    #[must_use]
    pub fn dial_handler<F, A>(mut self, answer: F) -> Self
    where
        F: Fn(String, Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.client_dials = Handler::by_client(answer);
        self
    }

    /// Lets clients dial through the server what the policy allows.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.client_dials = Handler::by_policy(policy);
        self
    }

    /// Limits and timeouts of each session.
    #[must_use]
    pub fn session(mut self, config: SessionConfig) -> Self {
        self.session = config;
        self
    }

    /// How long the machine of a forward's user, or of a target, may be silent before its
    /// connection is reset.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// The bound of the bytes that the server's sessions hold, together with other users of the
    /// same bound: 1 GiB unless set.
    #[must_use]
    pub fn buffers(mut self, buffers: Buffers) -> Self {
        self.buffers = buffers;
        self
    }

    /// Limits on the number of clients, and the length of their keys.
    #[must_use]
    pub fn registry(mut self, limits: RegistryLimits) -> Self {
        self.registry = limits;
        self
    }

    /// The timeout from accepting a socket to its authentication: 10 s unless set.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// The most handshakes that run at once: 1,024 unless set. Four times as many sockets wait, for
    /// their first byte or for a slot. Above that, the longest waiting socket of the source with
    /// the most sockets is closed; a source is an IPv4 address, or an IPv6 network of 64 bits. A
    /// handshake of more than three seconds is closed while others wait.
    #[must_use]
    pub fn max_handshakes(mut self, max: usize) -> Self {
        self.max_handshakes = max;
        self
    }

    /// The time for which a session that replaced another one of its client cannot be replaced,
    /// once two agents with one key alternate: 30 s unless set. A remote that connects meanwhile is
    /// refused with a pause, unless the session does not answer a probe. So an impostor that
    /// connects all the time gets no more of the time than the right agent.
    #[must_use]
    pub fn min_turn(mut self, turn: Duration) -> Self {
        self.min_turn = turn;
        self
    }

    /// The average interval between the sessions of one client: a second unless set. Ten may begin
    /// at once; an earlier one is refused with a pause.
    #[must_use]
    pub fn session_interval(mut self, interval: Duration) -> Self {
        self.session_interval = interval;
        self
    }

    /// The path on which the server's own listeners accept WebSockets: `/connect` unless set. The
    /// embedder chooses the path of [`Server::upgrade_service`].
    #[must_use]
    pub fn connect_path(mut self, path: &str) -> Self {
        self.connect_path = path.to_string();
        self
    }

    /// This server's identity toward its peers, which [`Server::add_peer`] requires. No peer may
    /// have the same id.
    #[must_use]
    pub fn peering(mut self, identity: PeerIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Accepts unmasked WebSocket frames from agents with the same setting. For simulations only:
    /// masks are the one thing on the wire that has no seed.
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

    /// Starts the server. It is idle until it gets a listener, or its service is mounted.
    #[must_use]
    pub fn build(self) -> Server {
        let tasks = Tasks::new();
        let kill = Arc::new(tasks.kill_on_drop());
        // Transports must accept every message that the session accepts.
        let session = self.session.within_bounds();
        let max_key = self.registry.key;
        let starts = RateLimit::new(self.session_interval);
        let sessions =
            Sessions::new(self.registry, self.identity, Takeovers::new(self.min_turn), starts);
        let inner = Inner {
            authenticator: self.authenticator,
            client_dials: self.client_dials,
            keepalive: self.keepalive,
            web_socket: WebSocketOptions::of_session(&session, self.masking, self.write_buffer),
            session,
            max_key,
            connect_path: self.connect_path,
            handshake_timeout: self.handshake_timeout,
            handshakes: Arc::new(Handshakes::new(self.max_handshakes)),
            tasks,
            stop: CancellationToken::new(),
            sessions: Mutex::new(sessions),
            refusals: LogLimit::default(),
            certificates: LogLimit::default(),
            takeovers: LogLimit::new(TAKEOVERS),
            limits: LogLimits::default(),
            buffers: self.buffers,
            events: broadcast::Sender::new(EVENTS),
        };
        Server { inner: Arc::new(inner), _kill: kill }
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("session", &self.session).finish_non_exhaustive()
    }
}
