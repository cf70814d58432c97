//! The end that agents connect to, and that dials through them.

mod accept;
mod admit;
mod auth;
mod builder;
mod connector;
mod crowd;
mod dial;
mod event;
mod handshakes;
#[cfg(all(test, shuttle))]
mod interleavings;
mod owner;
mod pace;
mod peering;
mod sessions;
mod turns;
mod upgrade;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};
use watertight_core::SessionConfig;
use watertight_core::wire::GoAwayCode;

use crate::forward::Forward;
use crate::handshake::Refusal;
use crate::kernel::Keepalive;
use crate::listener::Listener;
use crate::log_limit::{LogLimit, LogLimits};
use crate::serve::Handler;
use crate::session::Buffers;
#[cfg(feature = "simulation")]
use crate::session::Kept;
use crate::stream::{DialError, TunnelStream};
use crate::tasks::Tasks;
use crate::tls::ServerTls;
use crate::transport::{Io, WebSocketOptions};

pub use auth::{AuthRequest, Grant};
pub use builder::ServerBuilder;
pub use connector::TunnelConnector;
pub use event::ServerEvent;
pub use peering::{
    IncomingPeerInfo, Peer, PeerDirection, PeerDiscovery, PeerError, PeerIdentity, PeerInfo,
};
pub use sessions::{ClientInfo, ServerLedger};
pub use upgrade::UpgradeService;

use auth::Authenticator;
use handshakes::Handshakes;
use sessions::Sessions;

/// How long sessions get to say goodbye after the deadline of a shutdown.
const FAREWELL: Duration = Duration::from_secs(4);

/// The end that agents connect to.
///
/// Clones are handles to the same server. When the last one is dropped, every task of the server
/// ends at once; [`shutdown`](Self::shutdown) is the orderly way.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
    _kill: Arc<DropGuard>,
}

/// What the server's tasks share. It does not keep the server alive: the handles do.
#[derive(Debug)]
struct Inner {
    authenticator: Authenticator,
    client_dials: Handler,
    keepalive: Keepalive,
    session: SessionConfig,
    web_socket: WebSocketOptions,
    connect_path: String,
    /// Bytes of a client key.
    max_key: usize,
    handshake_timeout: Duration,
    handshakes: Arc<Handshakes>,
    tasks: Tasks,
    /// Ends the accept loops.
    stop: CancellationToken,
    sessions: Mutex<Sessions>,
    refusals: LogLimit,
    certificates: LogLimit,
    takeovers: LogLimit,
    /// Of what clients and peers may cause to be logged.
    limits: LogLimits,
    buffers: Buffers,
    events: broadcast::Sender<ServerEvent>,
}

impl Server {
    /// A server that takes every end which `authenticate` gives a [`Grant`]: a client key, as a
    /// `String`, is one. See [`ServerBuilder`] for what else can be set.
    pub fn builder<F, A, G>(authenticate: F) -> ServerBuilder
    where
        F: Fn(AuthRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<G, Refusal>> + Send + 'static,
        G: Into<Grant>,
    {
        ServerBuilder::new(Authenticator::new(authenticate))
    }

    /// Accepts agents from a TCP listener, over TLS if `tls` is given: WebSocket upgrades on
    /// [`/connect`](ServerBuilder::connect_path) and byte-stream sessions both. Several listeners
    /// can serve one server.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen(&self, listener: TcpListener, tls: Option<ServerTls>) {
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(accept::accept(inner, Listener::Tcp(listener), tls));
    }

    /// Accepts agents from a Unix socket, as [`listen`](Self::listen) does.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(unix)]
    pub fn listen_unix(&self, listener: UnixListener) {
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(accept::accept(inner, Listener::Unix(listener), None));
    }

    /// Makes a session of a byte stream that the embedder accepted by its own means: a WebSocket
    /// upgrade on the server's path or a preface is expected on it, within the handshake deadline.
    /// It counts as one of [`max_handshakes`](ServerBuilder::max_handshakes); those without an address
    /// are of one source.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn serve_io(&self, io: impl Io, remote: Option<SocketAddr>) {
        accept::serve(&self.inner, Box::new(io), remote, None);
    }

    /// A service that answers upgrade requests, to be mounted in axum, hyper or tower. The HTTP
    /// server around it must support upgrades.
    #[must_use]
    pub fn upgrade_service(&self) -> UpgradeService {
        UpgradeService::new(Arc::clone(&self.inner), None)
    }

    /// Dials `target` on the side of the client's newest session, or through the peer that announced
    /// the client last. Cancel safe: dropping the future gives the dial up on all ends.
    ///
    /// A peer that turns out not to have the client is asked once only, and the next one instead,
    /// all within the one deadline. A remotedialer peer does not answer dials: through it the stream
    /// comes at once, and fails where the dial does.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, key: &str, target: &str) -> Result<TunnelStream, DialError> {
        self.dial_within(key, target, None).await
    }

    /// As [`dial`](Self::dial), with a deadline of its own; without one that of
    /// [`Timing::dial`](watertight_core::session::Timing::dial) counts.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial_within(
        &self,
        key: &str,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        self.inner.dial(key, target, within).await
    }

    /// A connector that reaches `http://host:port` from the client's side, for hyper and other
    /// HTTP clients that take a [`tower_service::Service`] of a [`http::Uri`].
    #[must_use]
    pub fn connector(&self, key: &str) -> TunnelConnector {
        TunnelConnector::new(self.clone(), key)
    }

    /// Dials every connection that `listener` accepts at a client. It ends with the server, or
    /// when the returned handle says so.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn forward(&self, listener: Listener, key: &str, target: &str) -> Forward {
        let name = format!("{key}={target}");
        // Shared by the dials, which are tasks of the server: they do not keep it alive.
        let to: Arc<(_, String, String)> =
            Arc::new((Arc::clone(&self.inner), key.to_string(), target.to_string()));
        let dial = move || {
            let to = Arc::clone(&to);
            async move {
                let (inner, key, target) = &*to;
                inner.dial(key, target, None).await
            }
        };
        let (tasks, stop) = (&self.inner.tasks, &self.inner.stop);
        Forward::start(tasks, stop, listener, &name, self.inner.keepalive, dial)
    }

    /// The connected clients, in the order of their keys.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientInfo> {
        self.inner.sessions().clients()
    }

    /// A connected client.
    #[must_use]
    pub fn client(&self, key: &str) -> Option<ClientInfo> {
        self.inner.sessions().client(key)
    }

    /// Ends the client's sessions now, those that drain too, with all their connections, and tells
    /// the client `reason`. `false` if it has none. Its agent comes back after a while, unless the authentication hook
    /// refuses it then. To remotedialer clients no reason can be told.
    pub fn disconnect(&self, key: &str, reason: &str) -> bool {
        let sessions = self.inner.sessions().of_client(key);
        for session in &sessions {
            session.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, reason));
        }
        !sessions.is_empty()
    }

    /// Drains the client's sessions: they take no new dials in either direction, what is open may run to
    /// its end for at most `deadline`, and then they end. `false` if it has none. Its agent is told
    /// `reason` and comes back at once with a new session. To remotedialer clients nothing can be
    /// told: their session ends when its connections have, and they come back then.
    pub fn drain(&self, key: &str, reason: &str, deadline: Duration) -> bool {
        let sessions = self.inner.sessions().of_client(key);
        for session in &sessions {
            session.command(|core, now| core.drain(now, reason, deadline));
        }
        !sessions.is_empty()
    }

    /// Asks `check` about every session of a client, and ends those of which it says why: after tokens
    /// were revoked, for instance. What was proved is in [`ClientInfo::credential`]. An end that was
    /// authenticated before, and has no session yet, is turned away and comes back. Returns how many
    /// sessions were ended.
    pub fn recheck(&self, check: impl Fn(&ClientInfo) -> Result<(), String>) -> usize {
        let all = self.inner.sessions().recheck();
        let ended = all.iter().filter_map(|(info, session)| Some((session, check(info).err()?)));
        let ended = ended.map(|(session, reason)| {
            session.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, &reason));
        });
        ended.count()
    }

    /// The books of the server.
    #[must_use]
    pub fn ledger(&self) -> ServerLedger {
        let tasks = self.inner.tasks.live();
        self.inner.sessions().ledger(tasks)
    }

    /// What its tables hold that the books do not count.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn kept(&self) -> Kept {
        let handshakes = self.inner.handshakes.len();
        Kept { handshakes, ..self.inner.sessions().kept() }
    }

    /// What happens to clients from now on. A receiver that lags loses the oldest events and is
    /// told how many.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<ServerEvent> {
        self.inner.events.subscribe()
    }

    /// Ends every task of the server at once, as the death of its process would, and returns the
    /// books when they are gone.
    pub async fn kill(self) -> ServerLedger {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.sessions().close();
        inner.tasks.wind_down(Duration::ZERO).await;
        inner.abandon();
        self.ledger()
    }

    /// Ends the server: takes no new sessions and dials, lets the open connections run to their
    /// end for at most `deadline`, closes, waits until every task is gone, and returns the books.
    /// Not cancel safe: dropped half-way, the server is left draining.
    pub async fn shutdown(self, deadline: Duration) -> ServerLedger {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.each_session_once_closed(|core, now| {
            core.drain(now, "the server is shutting down", deadline);
        });
        if tokio::time::timeout(deadline, inner.sessions_gone()).await.is_err() {
            inner.each_session_once_closed(|core, now| {
                core.close(now, GoAwayCode::SHUTDOWN, "the server has shut down");
            });
        }
        // Nobody waits for a socket that may be silent for ever.
        inner.handshakes.close();
        inner.tasks.wind_down(FAREWELL).await;
        inner.abandon();
        self.ledger()
    }
}

impl Inner {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the subscribers; it is nobody's fault if there are none.
    fn announce(&self, event: ServerEvent) {
        self.events.send(event).ok();
    }

    fn each_session_once_closed(
        &self,
        act: impl Fn(&mut watertight_core::Session, watertight_core::Instant),
    ) {
        let mut sessions = self.sessions();
        sessions.close();
        let running: Vec<_> = sessions.running().map(Arc::clone).collect();
        drop(sessions);
        for session in running {
            session.command(&act);
        }
    }

    /// Lets go of what sessions that have ended still hold for the application.
    fn abandon(&self) {
        let held = self.sessions().held();
        for session in held {
            session.command(|core, now| core.force_close(now));
        }
    }

    /// Waits until no session is up. Woken by the events of the server itself.
    async fn sessions_gone(&self) {
        let mut events = self.events.subscribe();
        while self.sessions().running().next().is_some() {
            // Lagging is as good as an event: the sessions are counted again.
            events.recv().await.ok();
        }
    }
}
