use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use watertight_core::SessionConfig;
use watertight_core::registry::RegistryLimits;
use watertight_core::wire::Dialect;

use super::auth::Authenticator;
use super::handshakes::Handshakes;
use super::pace::Pace;
use super::peering::PeerIdentity;
use super::sessions::Sessions;
use super::turns::Turns;
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

/// Warnings a minute about clients whose sessions replace each other. Whoever has a token for many keys
/// can cause as many; those that are left out are counted, and each is in the metrics.
const TAKEOVERS: u32 = 100;

/// What a [`Server`] can be told before it starts. Everything has a default.
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
    pub fn allow_dials<F, A>(mut self, answer: F) -> Self
    where
        F: Fn(String, Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.client_dials = Handler::by_client(answer);
        self
    }

    /// Lets clients dial through the server what the policy allows.
    #[must_use]
    pub fn allow_dials_by_policy(mut self, policy: Policy) -> Self {
        self.client_dials = Handler::by_policy(policy);
        self
    }

    /// Limits and times of each session.
    #[must_use]
    pub fn session(mut self, config: SessionConfig) -> Self {
        self.session = config;
        self
    }

    /// How long the machine of a forward's user, or of a target, may be silent before its connection is
    /// given up.
    #[must_use]
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// What the server's sessions may hold, together with others that have this bound: 1 GiB unless set.
    #[must_use]
    pub fn buffers(mut self, buffers: Buffers) -> Self {
        self.buffers = buffers;
        self
    }

    /// How many clients there may be, and how long their keys.
    #[must_use]
    pub fn registry(mut self, limits: RegistryLimits) -> Self {
        self.registry = limits;
        self
    }

    /// How long a socket may take from being accepted to being authenticated: 10 s unless set.
    #[must_use]
    pub fn handshake_timeout(mut self, deadline: Duration) -> Self {
        self.handshake_timeout = deadline;
        self
    }

    /// How many handshakes may run at once: 1,024 unless set. Four times as many sockets wait, for
    /// their first byte or their turn; when there are more, those go that have waited longest, of the
    /// source with the most of them: an IPv4 address, or an IPv6 network of 64 bits. A handshake that
    /// takes more than three seconds goes while others wait.
    #[must_use]
    pub fn max_handshakes(mut self, max: usize) -> Self {
        self.max_handshakes = max;
        self
    }

    /// How long a session stays that has taken over from another one of the same client, once two agents
    /// with one key take turns: 30 s unless set. Whoever comes meanwhile is told to come back then, and
    /// is let in where the session gives no sign of life: an impostor that tries all the time has no
    /// more of the turns than the right agent.
    #[must_use]
    pub fn min_turn(mut self, turn: Duration) -> Self {
        self.min_turn = turn;
        self
    }

    /// How often a client may begin a session, on average: every second unless set. Ten may come at once;
    /// whoever comes sooner is told to come back later.
    #[must_use]
    pub fn session_interval(mut self, interval: Duration) -> Self {
        self.session_interval = interval;
        self
    }

    /// On which path a server's own listeners take WebSockets: `/connect` unless set. Where
    /// [`Server::upgrade_service`] is mounted is the embedder's to say.
    #[must_use]
    pub fn connect_path(mut self, path: &str) -> Self {
        self.connect_path = path.to_string();
        self
    }

    /// Who this server is to its peers, which [`Server::add_peer`] needs to know. None of the
    /// peers' ids may be the same.
    #[must_use]
    pub fn peering(mut self, identity: PeerIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Takes unmasked WebSocket frames from agents that are told the same. For simulations only:
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

    /// Starts the server. It does nothing until it is given a listener, or its service is
    /// mounted.
    #[must_use]
    pub fn build(self) -> Server {
        let tasks = Tasks::new();
        let kill = Arc::new(tasks.kill_on_drop());
        // Transports must take what the session takes.
        let session = self.session.within_bounds();
        let max_key = self.registry.key;
        let pace = Pace::new(self.session_interval);
        let sessions = Sessions::new(self.registry, self.identity, Turns::new(self.min_turn), pace);
        let inner = Inner {
            authenticator: self.authenticator,
            client_dials: self.client_dials,
            keepalive: self.keepalive,
            web_socket: WebSocketOptions {
                max_message: session.limits.max_message,
                max_extended: session.limits.max_message_in(Dialect::Extended),
                masking: self.masking,
                write_buffer: self.write_buffer,
            },
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
