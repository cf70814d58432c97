use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{Extensions, HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;
use tracing::{Instrument, debug};
use watertight_core::Role;
use watertight_core::wire::Dialect;

use super::Inner;
use super::auth::{AuthRequest, Origin};
use super::peering::{Claim, Claimed, PeerAdmission};
use super::sessions::{Admission, Permit};
use crate::handshake::{Refusal, nonce, upgrade};
use crate::metrics::handshake_refused;
use crate::transport::{BoxIo, Prefixed, WebSocket};

/// Answers WebSocket upgrades with sessions, and everything else with an error that says what is
/// expected. Made by [`Server::upgrade_service`](crate::Server::upgrade_service).
///
/// A browser's request, which has `Origin` or `Sec-Fetch-*`, is answered with 403 before the hook is asked: the
/// browser shows a client certificate, and sends cookies, for whatever page wants to connect.
///
/// Where the authentication hook takes longer than the
/// [`handshake_timeout`](crate::ServerBuilder::handshake_timeout), the answer is 503.
///
/// The address that the hook and [`ClientInfo`](crate::ClientInfo) have is a [`SocketAddr`] among
/// the request's extensions, where the HTTP server puts one; see
/// [`remote_from`](Self::remote_from) for one that has it in a type of its own.
#[derive(Clone, Debug)]
pub struct UpgradeService {
    server: Arc<Inner>,
    remote_from: fn(&Extensions) -> Option<SocketAddr>,
    /// Known when the socket is the server's own.
    origin: Option<Origin>,
}

impl UpgradeService {
    pub(super) fn new(server: Arc<Inner>, origin: Option<Origin>) -> Self {
        Self { server, remote_from: |extensions| extensions.get().copied(), origin }
    }

    /// Where the HTTP server around it keeps the address of the remote. In axum:
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::Router;
    /// use axum::extract::ConnectInfo;
    /// use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
    /// use watertight::Server;
    ///
    /// fn app(server: &Server) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    ///     let service = server.upgrade_service().remote_from(|extensions| {
    ///         extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
    ///     });
    ///     Router::new().route_service("/connect", service).into_make_service_with_connect_info()
    /// }
    /// ```
    #[must_use]
    pub fn remote_from(mut self, find: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.remote_from = find;
        self
    }

    async fn answer(
        self,
        parts: http::request::Parts,
        upgraded: OnUpgrade,
    ) -> Result<Response<String>, Refusal> {
        self.check_path(parts.uri.path())?;
        let mut accepted = upgrade::accept(&parts)?;
        let origin = self.origin.unwrap_or_else(|| Origin {
            remote: (self.remote_from)(&parts.extensions),
            ..Origin::default()
        });
        let (remote, dialect) = (origin.remote, accepted.dialect);
        self.server.refuse_browser(&parts.headers, remote)?;
        self.server.slow_down(&origin).await;
        let admission = match self.server.claim(&parts.headers, remote, origin.tls)? {
            Claim::Proved { id, number } => {
                Welcome::Peer(PeerAdmission { id, number, remote, dialect })
            }
            Claim::Proves { id, nonce: theirs } => {
                let ours = nonce(self.server.web_socket.masking);
                let header = HeaderValue::try_from(&ours);
                let header = header.map_err(|error| Refusal::unavailable(error.to_string()))?;
                accepted.response.headers_mut().insert(upgrade::PEER_NONCE, header);
                let claimed = Claimed { id, nonces: [theirs, ours], remote, dialect };
                Welcome::Claimed(claimed, origin)
            }
            claim => {
                origin.authenticates();
                let request = AuthRequest::of_upgrade(parts, &origin);
                let place = match authorize_in_time(&self.server, request, &claim).await {
                    Ok(place) => place,
                    Err(refusal) => {
                        self.server.count_guess(&origin, &refusal);
                        return Err(refusal);
                    }
                };
                Welcome::Client(Admission { permit: place, remote, dialect })
            }
        };
        let server = Arc::clone(&self.server);
        self.server.tasks.spawn(start(server, upgraded, admission).in_current_span());
        Ok(accepted.response)
    }
}

impl UpgradeService {
    /// On the server's own sockets there is one path; a service that is mounted was routed to.
    fn check_path(&self, path: &str) -> Result<(), Refusal> {
        let expected = &self.server.connect_path;
        if self.origin.is_none() || path == expected {
            return Ok(());
        }
        Err(Refusal::not_found(format!("agents connect to {expected}")))
    }
}

/// Who is to have a session.
enum Welcome {
    Client(Admission),
    Peer(PeerAdmission),
    /// Its place among the handshakes stays taken until it has proved who it is.
    Claimed(Claimed, Origin),
}

impl Welcome {
    const fn dialect(&self) -> Dialect {
        match self {
            Self::Client(admission) => admission.dialect,
            Self::Peer(admission) => admission.dialect,
            Self::Claimed(claimed, _) => claimed.dialect,
        }
    }
}

/// The embedder's hook may wait for somebody who never answers.
async fn authorize_in_time(
    server: &Inner,
    request: AuthRequest,
    claim: &Claim,
) -> Result<Permit, Refusal> {
    let place =
        tokio::time::timeout(server.handshake_timeout, server.authorize(request, claim)).await;
    place.unwrap_or_else(|_| {
        handshake_refused("timeout");
        debug!("no answer from the authentication hook in time");
        Err(Refusal::unavailable("it takes too long to find out whether you may connect"))
    })
}

/// Starts the session once the HTTP server has let go of the socket.
async fn start(server: Arc<Inner>, upgraded: OnUpgrade, authorize: Welcome) {
    let deadline = server.handshake_timeout;
    let (io, leftover) = match tokio::time::timeout(deadline, upgraded).await {
        Ok(Ok(io)) => bare(io),
        Ok(Err(error)) => return debug!(%error, "gone before the session began"),
        Err(_) => return debug!("the HTTP server did not hand the socket over in time"),
    };
    let options = server.web_socket.of(authorize.dialect());
    let admitted = match authorize {
        Welcome::Client(admission) => {
            let transport = WebSocket::new(io, leftover, Role::Acceptor, options).await;
            server.admit(transport, admission)
        }
        Welcome::Peer(admission) => {
            let transport = WebSocket::new(io, leftover, Role::Acceptor, options).await;
            server.admit_peer(transport, &admission)
        }
        Welcome::Claimed(claimed, origin) => {
            // Anybody can get so far: he has room for a proof.
            let options = options.for_proof();
            let transport = WebSocket::new(io, leftover, Role::Acceptor, options).await;
            return start_claimed(&server, transport, claimed, origin).await;
        }
    };
    if let Err(refusal) = admitted {
        server.log_refused(None, None, &refusal);
    }
}

/// Starts the session of a peer once it has proved that it is one. For as long as this takes, the
/// refusal included, the socket has a place among the handshakes, which may go to another one.
async fn start_claimed(
    server: &Arc<Inner>,
    transport: WebSocket<BoxIo>,
    claimed: Claimed,
    origin: Origin,
) {
    let id = claimed.id.clone();
    let is_embedders = origin.place.is_none();
    let place =
        origin.place.clone().or_else(|| server.handshakes.enter(origin.remote).map(Arc::new));
    let Some(place) = place else {
        return debug!(id, "one socket too many that is no session yet");
    };
    let origin = Origin { place: Some(Arc::clone(&place)), ..origin };
    let proving = async {
        if is_embedders {
            place.turn().await;
        }
        prove_or_refuse(server, transport, claimed, &origin).await;
    };
    tokio::select! {
        biased;
        () = place.evicted() => debug!(id, "closed before it proved that it is a peer"),
        () = proving => {}
    }
}

async fn prove_or_refuse(
    server: &Arc<Inner>,
    mut transport: WebSocket<BoxIo>,
    claimed: Claimed,
    origin: &Origin,
) {
    let (id, remote) = (claimed.id.clone(), claimed.remote);
    let proving = server.challenge(&mut transport, claimed);
    let refusal = match tokio::time::timeout(server.handshake_timeout, proving).await {
        Ok(Ok(admission)) => {
            let (io, options) = (transport.into_io(), server.web_socket.of(admission.dialect));
            let transport = WebSocket::new(io, Bytes::new(), Role::Acceptor, options).await;
            return match server.admit_peer(transport, &admission) {
                Ok(()) => {}
                Err(refusal) => server.log_refused(Some(&id), remote, &refusal),
            };
        }
        Ok(Err(refusal)) => {
            handshake_refused("authentication");
            refusal
        }
        Err(_) => {
            handshake_refused("timeout");
            Refusal::unauthorized("no proof in time")
        }
    };
    server.log_refused(Some(&id), remote, &refusal);
    server.count_guess(origin, &refusal);
    // It may be gone; it was refused all the same.
    let refusing = transport.refuse(&refusal.reason);
    tokio::time::timeout(server.handshake_timeout, refusing).await.ok();
}

/// The stream below an upgraded connection, and what was read of it already. A socket of a known kind
/// comes out of the HTTP library's layers, so that its kernel can be asked.
fn bare(upgraded: Upgraded) -> (BoxIo, Bytes) {
    let upgraded = match upgraded.downcast::<TokioIo<Prefixed<BoxIo>>>() {
        Ok(parts) => return (Box::new(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => (Box::new(parts.io.into_inner()), parts.read_buf),
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Bytes::new()),
    }
}

impl<B> Service<Request<B>> for UpgradeService
where
    B: Send + 'static,
{
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let upgraded = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let proves = parts.headers.contains_key(upgrade::PEER_NONCE);
        let answer = self.clone().answer(parts, upgraded);
        Box::pin(async move { Ok(answer.await.unwrap_or_else(|refusal| refused(refusal, proves))) })
    }
}

/// The answer to an end that gets no session; `proves` says whether it would prove that it is a peer.
fn refused(refusal: Refusal, proves: bool) -> Response<String> {
    let mut response = Response::new(refusal.reason + "\n");
    *response.status_mut() = refusal.status;
    // The next try is another connection; this one holds a place among the handshakes.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if proves {
        response.headers_mut().insert(upgrade::PEER_NONCE, upgrade::PEER_REFUSED);
    }
    if let Some(wait) = refusal.retry_after {
        let seconds = wait.as_millis().div_ceil(1000);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    if refusal.status == StatusCode::UPGRADE_REQUIRED {
        upgrade::expect_in(response.headers_mut());
    }
    response
}
