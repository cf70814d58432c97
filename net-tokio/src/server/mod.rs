//! The server: accepts agents, and dials through them.

mod accept;
mod admission;
mod auth;
mod authorize;
mod builder;
mod dial;
mod event;
mod handshakes;
#[cfg(all(test, shuttle))]
mod interleavings;
mod peering;
mod permits;
mod sessions;
mod superseded;
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
use crate::io::Io;
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
use crate::transport::WebSocketOptions;

pub use auth::{AuthRequest, Grant};
pub use builder::ServerBuilder;
pub use dial::TunnelConnector;
pub use event::{Events, Lagged, ServerEvent};
pub use peering::{
    IncomingPeerInfo, Peer, PeerDirection, PeerDiscovery, PeerError, PeerIdentity, PeerInfo,
};
pub use sessions::{ClientInfo, ServerLedger};
pub use upgrade::UpgradeService;

use auth::Authenticator;
use handshakes::Handshakes;
use sessions::Sessions;

/// Time for the sessions' close messages after the timeout of a shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// The end that agents connect to.
///
/// Clones are handles to the same server. When the last one is dropped, every task of the server
/// ends at once; [`shutdown`](Self::shutdown) ends it in order.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
    _kill: Arc<DropGuard>,
}

/// State that the server's tasks share. It does not keep the server alive: the handles do.
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
    /// Limits of the log lines that clients and peers cause.
    limits: LogLimits,
    buffers: Buffers,
    events: broadcast::Sender<ServerEvent>,
}

impl Server {
    /// A server that admits every remote to which `authenticate` returns a [`Grant`]; a `String`
    /// converts into one, as a client key. See [`ServerBuilder`] for the other settings.
    pub fn builder<F, A, G>(authenticate: F) -> ServerBuilder
    where
        F: Fn(AuthRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<G, Refusal>> + Send + 'static,
        G: Into<Grant>,
    {
        ServerBuilder::new(Authenticator::new(authenticate))
    }

    /// Accepts agents from a TCP listener, over TLS if `tls` is given: WebSocket upgrades on
    /// [`/connect`](ServerBuilder::connect_path) and byte-stream sessions. Several listeners can
    /// serve one server.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn listen(&self, listener: TcpListener, tls: Option<ServerTls>) {
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(accept::accept(inner, Listener::Tcp(listener), tls));
    }

    /// Accepts agents from a Unix socket, as [`listen`](Self::listen) does.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[cfg(unix)]
    pub fn listen_unix(&self, listener: UnixListener) {
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn(accept::accept(inner, Listener::Unix(listener), None));
    }

    /// Accepts a session on a byte stream that the embedder accepted by its own means: it carries a
    /// WebSocket upgrade on the server's path, or a preface, within the handshake timeout. It
    /// counts as one of [`max_handshakes`](ServerBuilder::max_handshakes); streams without an
    /// address are of one source.
    ///
    /// # Panics
    ///
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

    /// Dials `target` through the client's newest session, or through the peer that announced the
    /// client first. Cancel safe: dropping the future cancels the dial on all ends.
    ///
    /// If a peer does not have the client, it is asked once, and then the next one, all within the
    /// one timeout. A remotedialer peer does not answer dials: through it the stream is returned at
    /// once, and fails if the dial does.
    ///
    /// # Errors
    ///
    /// See [`DialError`].
    pub async fn dial(&self, key: &str, target: &str) -> Result<TunnelStream, DialError> {
        self.dial_within(key, target, None).await
    }

    /// As [`dial`](Self::dial), with a timeout of its own; the default is
    /// [`Timing::dial`](watertight_core::session::Timing::dial).
    ///
    /// # Errors
    ///
    /// See [`DialError`].
    pub async fn dial_within(
        &self,
        key: &str,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        self.inner.dial(key, target, within).await
    }

    /// A connector that reaches `http://host:port` from the client's side, for hyper and other HTTP
    /// clients that take a [`tower_service::Service`] of a [`http::Uri`].
    #[must_use]
    pub fn connector(&self, key: &str) -> TunnelConnector {
        TunnelConnector::new(self.clone(), key)
    }

    /// Dials `target` at a client for every connection that `listener` accepts. The forward ends
    /// with the server, or by its handle.
    ///
    /// # Panics
    ///
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

    /// Closes the client's sessions now, draining ones included, with all their connections, and
    /// sends the client `reason`. `false` if it has none. Its agent reconnects after a pause,
    /// unless the authentication hook refuses it then. remotedialer clients receive no reason.
    pub fn disconnect(&self, key: &str, reason: &str) -> bool {
        let sessions = self.inner.sessions().sessions_of(key);
        for session in &sessions {
            session.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, reason));
        }
        !sessions.is_empty()
    }

    /// Drains the client's sessions: they take no new dials in either direction, open connections
    /// may run to their end for at most `timeout`, and then the sessions end. `false` if the
    /// client has none. Its agent receives `reason` and reconnects after its backoff; until then the
    /// client takes no dials. remotedialer clients receive nothing: their session ends with its
    /// last connection, and they reconnect then.
    pub fn drain(&self, key: &str, reason: &str, timeout: Duration) -> bool {
        let sessions = self.inner.sessions().sessions_of(key);
        for session in &sessions {
            session.command(|core, now| core.drain(now, reason, timeout));
        }
        !sessions.is_empty()
    }

    /// Calls `check` for every client session, and closes a session if it returns an error: after
    /// tokens were revoked, for instance. The credential is in [`ClientInfo::credential`]. A remote
    /// that was authenticated before, and has no session yet, is refused and reconnects. Returns
    /// the number of closed sessions.
    pub fn recheck(&self, check: impl Fn(&ClientInfo) -> Result<(), String>) -> usize {
        let all = self.inner.sessions().recheck();
        let ended = all.iter().filter_map(|(info, session)| Some((session, check(info).err()?)));
        let ended = ended.map(|(session, reason)| {
            session.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, &reason));
        });
        ended.count()
    }

    /// The ledger of the server.
    #[must_use]
    pub fn ledger(&self) -> ServerLedger {
        let tasks = self.inner.tasks.live();
        self.inner.sessions().ledger(tasks)
    }

    /// Entries of its tables that the ledger does not count.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn kept(&self) -> Kept {
        let handshakes = self.inner.handshakes.len();
        Kept { handshakes, ..self.inner.sessions().kept() }
    }

    /// Subscribes to the server's events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Events {
        Events::new(self.inner.events.subscribe())
    }

    /// Ends every task of the server at once, as the death of its process would, and returns the
    /// ledger when they have ended.
    pub async fn kill(self) -> ServerLedger {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.sessions().close();
        inner.tasks.wind_down(Duration::ZERO).await;
        inner.force_close_ended();
        self.ledger()
    }

    /// Ends the server: refuses new sessions and dials, lets the open connections run to their end
    /// for at most `timeout`, closes, waits until every task has ended, and returns the ledger.
    /// Not cancel safe: if it is dropped, the server stays draining.
    pub async fn shutdown(self, timeout: Duration) -> ServerLedger {
        let inner = &self.inner;
        inner.stop.cancel();
        inner.each_session_once_closed(|core, now| {
            core.drain(now, "the server is shutting down", timeout);
        });
        if tokio::time::timeout(timeout, inner.sessions_ended()).await.is_err() {
            inner.each_session_once_closed(|core, now| {
                core.close(now, GoAwayCode::SHUTDOWN, "the server has shut down");
            });
        }
        // A handshake must not delay the shutdown: its remote may be silent.
        inner.handshakes.close();
        inner.tasks.wind_down(CLOSE_TIMEOUT).await;
        inner.force_close_ended();
        self.ledger()
    }
}

impl Inner {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the event. Having no subscribers is no error.
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

    /// Discards what ended sessions still hold for the application.
    fn force_close_ended(&self) {
        let held = self.sessions().held();
        for session in held {
            session.command(|core, now| core.force_close(now));
        }
    }

    /// Waits until no session is up. The server's events wake it.
    async fn sessions_ended(&self) {
        let mut events = self.events.subscribe();
        while self.sessions().running().next().is_some() {
            // Lagging is equal to an event: the sessions are counted again.
            events.recv().await.ok();
        }
    }
}
