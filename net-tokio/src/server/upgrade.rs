//! Upgrades to WebSockets: the service, and the sessions that start with it.

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
use super::admission::{Admission, Applicant};
use super::auth::{AuthRequest, Origin};
use super::peering::{Claim, Claimed};
use super::permits::Permit;
use crate::handshake::{Refusal, nonce, upgrade};
use crate::io::{BoxIo, Prefixed};
use crate::metrics::handshake_refused;
use crate::transport::WebSocket;

/// Answers WebSocket upgrades with sessions, and any other request with an error that names the
/// expected one. Made by [`Server::upgrade_service`](crate::Server::upgrade_service).
///
/// A browser's request, which has `Origin` or `Sec-Fetch-*`, is answered with 403 before
/// authentication: the browser presents a client certificate, and sends cookies, for any page that
/// connects.
///
/// If the authentication hook takes longer than the
/// [`handshake_timeout`](crate::ServerBuilder::handshake_timeout), the answer is 503.
///
/// The remote address for the hook and [`ClientInfo`](crate::ClientInfo) is a [`SocketAddr`] in the
/// request's extensions, if the HTTP server sets one; see [`remote_from`](Self::remote_from) for a
/// server that uses a type of its own.
#[derive(Clone, Debug)]
pub struct UpgradeService {
    server: Arc<Inner>,
    remote_from: fn(&Extensions) -> Option<SocketAddr>,
    /// Set if the server accepted the socket itself.
    origin: Option<Origin>,
}

impl UpgradeService {
    pub(super) fn new(server: Arc<Inner>, origin: Option<Origin>) -> Self {
        Self { server, remote_from: |extensions| extensions.get().copied(), origin }
    }

    /// Reads the remote's address from an extension of the HTTP server around it. In axum:
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
                let applicant = Applicant::IncomingPeer { id, number };
                Accepted::Proved(Admission { applicant, remote, dialect })
            }
            Claim::Proves { id, nonce: remote_nonce } => {
                let own_nonce = nonce(self.server.web_socket.masking);
                let header = HeaderValue::try_from(&own_nonce);
                let header = header.map_err(|error| Refusal::unavailable(error.to_string()))?;
                accepted.response.headers_mut().insert(upgrade::PEER_NONCE, header);
                let claimed = Claimed { id, nonces: [remote_nonce, own_nonce], remote, dialect };
                Accepted::Claimed(claimed, origin)
            }
            claim => {
                origin.authenticates();
                let request = AuthRequest::of_upgrade(parts, &origin);
                let permit = match authorize_in_time(&self.server, request, &claim).await {
                    Ok(permit) => permit,
                    Err(refusal) => {
                        self.server.count_guess(&origin, &refusal);
                        return Err(refusal);
                    }
                };
                Accepted::Proved(Admission {
                    applicant: Applicant::Client(permit),
                    remote,
                    dialect,
                })
            }
        };
        let server = Arc::clone(&self.server);
        self.server.tasks.spawn(start(server, upgraded, admission).in_current_span());
        Ok(accepted.response)
    }
}

impl UpgradeService {
    /// The server's own sockets have one path; a mounted service is routed by its embedder.
    fn check_path(&self, path: &str) -> Result<(), Refusal> {
        let expected = &self.server.connect_path;
        if self.origin.is_none() || path == expected {
            return Ok(());
        }
        Err(Refusal::not_found(format!("agents connect to {expected}")))
    }
}

/// A remote whose upgrade was accepted.
enum Accepted {
    /// It has been authenticated.
    Proved(Admission),
    /// It must still prove that it is a peer, and keeps its handshake slot until then.
    Claimed(Claimed, Origin),
}

impl Accepted {
    const fn dialect(&self) -> Dialect {
        match self {
            Self::Proved(admission) => admission.dialect,
            Self::Claimed(claimed, _) => claimed.dialect,
        }
    }
}

/// The embedder's hook may never return.
async fn authorize_in_time(
    server: &Inner,
    request: AuthRequest,
    claim: &Claim,
) -> Result<Permit, Refusal> {
    let permit =
        tokio::time::timeout(server.handshake_timeout, server.authorize(request, claim)).await;
    permit.unwrap_or_else(|_| {
        handshake_refused("timeout");
        debug!("no answer from the authentication hook in time");
        Err(Refusal::unavailable("it takes too long to find out whether you may connect"))
    })
}

/// Starts the session once the HTTP server has released the socket.
async fn start(server: Arc<Inner>, upgraded: OnUpgrade, accepted: Accepted) {
    let timeout = server.handshake_timeout;
    let (io, leftover) = match tokio::time::timeout(timeout, upgraded).await {
        Ok(Ok(io)) => bare(io),
        Ok(Err(error)) => return debug!(%error, "disconnected before the session began"),
        Err(_) => return debug!("the HTTP server did not hand the socket over in time"),
    };
    let options = server.web_socket.of(accepted.dialect());
    match accepted {
        Accepted::Proved(admission) => {
            let transport = WebSocket::new(io, leftover, Role::Acceptor, options).await;
            if let Err(refusal) = server.admit(transport, admission) {
                server.log_refused(None, None, &refusal);
            }
        }
        Accepted::Claimed(claimed, origin) => {
            // The remote is not authenticated yet: its messages are limited to the length of a
            // proof.
            let options = options.for_proof();
            let transport = WebSocket::new(io, leftover, Role::Acceptor, options).await;
            start_claimed(&server, transport, claimed, origin).await;
        }
    }
}

/// Starts the session of a peer after its proof. Until then, the refusal included, the socket has a
/// handshake slot, and may be evicted.
async fn start_claimed(
    server: &Arc<Inner>,
    transport: WebSocket<BoxIo>,
    claimed: Claimed,
    origin: Origin,
) {
    let id = claimed.id.clone();
    let is_embedders = origin.slot.is_none();
    let slot = origin.slot.clone().or_else(|| server.handshakes.add(origin.remote).map(Arc::new));
    let Some(slot) = slot else {
        return debug!(id, "too many sockets without a session");
    };
    let origin = Origin { slot: Some(Arc::clone(&slot)), ..origin };
    let proving = async {
        if is_embedders {
            slot.wait_to_run().await;
        }
        prove_or_refuse(server, transport, claimed, &origin).await;
    };
    tokio::select! {
        biased;
        () = slot.evicted() => debug!(id, "closed before it proved that it is a peer"),
        () = proving => {}
    }
}

async fn prove_or_refuse(
    server: &Arc<Inner>,
    mut transport: WebSocket<BoxIo>,
    claimed: Claimed,
    origin: &Origin,
) {
    let (id, remote, dialect) = (claimed.id.clone(), claimed.remote, claimed.dialect);
    let proving = server.challenge(&mut transport, claimed);
    let refusal = match tokio::time::timeout(server.handshake_timeout, proving).await {
        Ok(Ok(number)) => {
            let (io, options) = (transport.into_io(), server.web_socket.of(dialect));
            let transport = WebSocket::new(io, Bytes::new(), Role::Acceptor, options).await;
            let applicant = Applicant::IncomingPeer { id: id.clone(), number };
            let admission = Admission { applicant, remote, dialect };
            if let Err(refusal) = server.admit(transport, admission) {
                server.log_refused(Some(&id), remote, &refusal);
            }
            return;
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
    // The remote may be disconnected; the refusal counts anyway.
    let refusing = transport.refuse(&refusal.reason);
    tokio::time::timeout(server.handshake_timeout, refusing).await.ok();
}

/// The stream below an upgraded connection, and the bytes that were read beyond the head. A socket
/// of a known type is unwrapped from hyper's layers, so that its kernel's state is available.
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

/// The answer of a refusal; `proves` is whether the remote offered to prove that it is a peer.
fn refused(refusal: Refusal, proves: bool) -> Response<String> {
    let mut response = Response::new(refusal.reason + "\n");
    *response.status_mut() = refusal.status;
    // The next attempt is another connection; this one holds a handshake slot.
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
