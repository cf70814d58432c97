use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tower_service::Service;
use tracing::{Instrument, debug, info};
use watertight_core::Role;

use super::Inner;
use super::auth::{AuthRequest, Origin};
use super::sessions::Admission;
use crate::handshake::{Refusal, upgrade};
use crate::transport::WebSocket;

/// Answers WebSocket upgrades with sessions, and everything else with an error that says what is
/// expected. Made by [`Server::upgrade_service`](crate::Server::upgrade_service).
///
/// The HTTP server around it may put a [`SocketAddr`] of the other end into the request's
/// extensions, for the authentication hook to see.
#[derive(Clone, Debug)]
pub struct UpgradeService {
    server: Arc<Inner>,
    /// Known when the socket is the server's own.
    origin: Option<Origin>,
}

impl UpgradeService {
    pub(super) fn new(server: Arc<Inner>, origin: Option<Origin>) -> Self {
        Self { server, origin }
    }

    async fn answer(
        self,
        parts: http::request::Parts,
        upgraded: OnUpgrade,
    ) -> Result<Response<String>, Refusal> {
        self.check_path(parts.uri.path())?;
        let accepted = upgrade::accept(&parts)?;
        let origin = self.origin.unwrap_or_else(|| Origin {
            remote: parts.extensions.get::<SocketAddr>().copied(),
            certificates: Vec::new(),
        });
        let request = AuthRequest::of_upgrade(parts, &origin);
        let place = self.server.welcome(request).await?;
        let admission = Admission { place, remote: origin.remote, dialect: accepted.dialect };
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

/// Starts the session once the HTTP server has let go of the socket.
async fn start(server: Arc<Inner>, upgraded: OnUpgrade, admission: Admission) {
    let deadline = server.handshake_deadline;
    let io = match tokio::time::timeout(deadline, upgraded).await {
        Ok(Ok(io)) => TokioIo::new(io),
        Ok(Err(error)) => return debug!(%error, "gone before the session began"),
        Err(_) => return debug!("the HTTP server did not hand the socket over in time"),
    };
    let transport = WebSocket::new(io, Bytes::new(), Role::Acceptor, server.web_socket).await;
    if let Err(refusal) = server.admit(transport, admission) {
        info!(%refusal, "session refused");
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
        let answer = self.clone().answer(parts, upgraded);
        Box::pin(async move { Ok(answer.await.unwrap_or_else(refused)) })
    }
}

fn refused(refusal: Refusal) -> Response<String> {
    let mut response = Response::new(refusal.reason + "\n");
    *response.status_mut() = refusal.status;
    // The next try is another connection; this one holds a place among the handshakes.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if refusal.status == StatusCode::UPGRADE_REQUIRED {
        upgrade::expect_in(response.headers_mut());
    }
    response
}
