//! Dials to a client, on the best session that reaches it: for the embedder, for hyper, and for a
//! peer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tower_service::Service;
use watertight_core::registry::{Candidate, NotEncodable, no_such_client, split_peer_target};
use watertight_core::session::OpenError;
use watertight_core::wire::{Dialect, ResetCode};

use super::sessions::DialRoute;
use super::{Inner, Server};
use crate::kernel::Keepalive;
use crate::serve::{DialRefusal, answer};
use crate::stream::{DialError, Incoming, TunnelStream, dial_client, dial_newest, is_stale};

/// The time of one route before the next is tried. It suffices to detect a client that has moved
/// before its old server noticed, and for a target that needs two lost packets.
const FIRST_SHARE: Duration = Duration::from_secs(4);

impl Inner {
    /// Dials the client here, or through the peers that announced it, in the order of their
    /// announcements. All of it takes `within` at most.
    ///
    /// Cancel safe: dropping the future cancels the dial on all ends.
    pub(super) async fn dial(
        &self,
        key: &str,
        target: &str,
        within: Option<Duration>,
    ) -> Result<TunnelStream, DialError> {
        let (started, within) = (Instant::now(), within.unwrap_or(self.session.timing.dial));
        self.warn_of_route_conflict();
        let mut tried = Vec::new();
        let mut failed = None;
        loop {
            let route = self.sessions().route(key, &tried);
            let Some(route) = route else {
                return Err(failed.unwrap_or_else(|| DialError::NotConnected(key.to_string())));
            };
            let left = within.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(DialError::Timeout);
            }
            // A session is tried once, even if its peer announces the client again meanwhile.
            tried.push(route.candidate.session());
            // A client or peer that has stalled leaves time for the next route.
            let shares = self.sessions().route(key, &tried).is_some();
            let share = if shares { (left / 2).min(FIRST_SHARE) } else { left };
            match route.dial(key, target, share).await {
                // The session's owner removes the route.
                Err(error) if route.has_no_client(&error) => {}
                Err(error) if route.is_blocked(&error) => failed = Some(error),
                Err(error) if shares && is_late(&error) => failed = Some(error),
                result => return result,
            }
        }
    }
}

impl DialRoute {
    async fn dial(
        &self,
        key: &str,
        target: &str,
        within: Duration,
    ) -> Result<TunnelStream, DialError> {
        let asked =
            self.candidate.target(key, target).map_err(|error| not_encodable(error, key))?;
        let client = self.is_peer().then_some(key);
        dial_client(&self.shared, client, &asked, Some(within)).await
    }

    /// Whether a peer does not have the client that it announced.
    fn has_no_client(&self, error: &DialError) -> bool {
        let no_such =
            matches!(error, DialError::Refused { code: Some(ResetCode::NO_SUCH_CLIENT), .. });
        no_such && self.is_peer()
    }

    /// Whether the dial failed before it reached the client: another route may succeed.
    fn is_blocked(&self, error: &DialError) -> bool {
        let not_by_peer = matches!(error, DialError::NotSent(_) | DialError::NotConnected(_));
        is_stale(error) || (self.is_peer() && not_by_peer)
    }

    fn is_peer(&self) -> bool {
        matches!(self.candidate, Candidate::Peer { .. })
    }
}

/// Whether the answer did not arrive in time, by the clock of either end.
fn is_late(error: &DialError) -> bool {
    matches!(
        error,
        DialError::Timeout | DialError::Refused { code: Some(ResetCode::DIAL_TIMEOUT), .. }
    )
}

/// The base protocol cannot encode every key and target.
fn not_encodable(error: NotEncodable, key: &str) -> DialError {
    match error {
        NotEncodable::TargetTooLong { length, limit } => {
            OpenError::TargetTooLong { length, limit }.into()
        }
        _ => DialError::NotConnected(key.to_string()),
    }
}

/// Connects HTTP clients to servers on a client's side. Made by [`Server::connector`].
///
/// It returns the bare connection to the URI's host and port (80, or 443 for `https`); TLS for
/// `https` is laid over it as over any connector, for example by hyper-rustls.
///
/// It is a handle to the server as a clone of it is, and keeps it alive, as does a client that owns
/// it.
#[derive(Clone, Debug)]
pub struct TunnelConnector {
    server: Server,
    key: String,
}

impl TunnelConnector {
    pub(super) fn new(server: Server, key: &str) -> Self {
        Self { server, key: key.to_string() }
    }
}

impl Service<Uri> for TunnelConnector {
    type Response = TokioIo<TunnelStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let target = target(&uri)?;
            Ok(TokioIo::new(this.server.dial(&this.key, &target).await?))
        })
    }
}

/// The dial target of a URI.
fn target(uri: &Uri) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("no host in {uri}"));
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
    let default = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
    Ok(format!("tcp/{host}:{}", uri.port_u16().unwrap_or(default)))
}

impl Connection for TunnelStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Dials a client of this server for a peer, and splices the two streams. The peer is answered when
/// the client has answered.
pub(super) async fn serve_peer(server: Arc<Inner>, incoming: Incoming) {
    let asked = incoming.target().to_string();
    let dial = dial_for_peer(&server, incoming.dialect(), &asked, incoming.within());
    if let Some((incoming, stream)) = answer(incoming, dial).await {
        // Neither is a socket that could be probed.
        crate::serve::serve(incoming, stream, Keepalive::OFF).await;
    }
}

/// Dials through the client's own session. Routes of other peers are excluded: two servers that
/// each regard the other as the client's home would pass the dial back and forth.
async fn dial_for_peer(
    server: &Inner,
    dialect: Dialect,
    asked: &str,
    within: Duration,
) -> Result<TunnelStream, DialRefusal> {
    let (key, target) = split_peer_target(dialect, asked)
        .map_err(|error| DialRefusal { code: ResetCode::DIAL_REFUSED, text: error.to_string() })?;
    let newest = || {
        let session = server.sessions().lookup_local(&key);
        session.ok_or_else(|| DialError::NotConnected(key.to_string()))
    };
    dial_newest(newest, target, within).await.map_err(|error| refusal_of(error, &key))
}

/// The refusal that the peer receives. If the dial never reached the client, the peer may have
/// another route.
fn refusal_of(error: DialError, key: &str) -> DialRefusal {
    let text = error.to_string();
    let code = match error {
        DialError::NotConnected(_)
        | DialError::NoServer
        | DialError::NotSent(OpenError::Closed | OpenError::GoingAway)
        | DialError::SessionEnded(_) => {
            let text = no_such_client(key);
            return DialRefusal { code: ResetCode::NO_SUCH_CLIENT, text };
        }
        // A code of the client never means that the route is wrong.
        DialError::Refused { code: Some(ResetCode::NO_SUCH_CLIENT) | None, .. } => {
            ResetCode::DIAL_FAILED
        }
        DialError::Refused { code: Some(code), .. } => code,
        DialError::Timeout => ResetCode::DIAL_TIMEOUT,
        // The target is invalid: another attempt would fail, too.
        DialError::NotSent(OpenError::NoAddress | OpenError::TargetTooLong { .. }) => {
            ResetCode::DIAL_REFUSED
        }
        DialError::NotSent(_) => ResetCode::LIMIT,
    };
    DialRefusal { code, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_scheme() {
        let target = |uri: &'static str| target(&Uri::from_static(uri)).unwrap();
        assert_eq!(target("http://web/path"), "tcp/web:80");
        assert_eq!(target("https://web"), "tcp/web:443");
        assert_eq!(target("http://[::1]:8080/"), "tcp/[::1]:8080");
    }

    #[test]
    fn a_path_alone_is_refused() {
        assert!(target(&Uri::from_static("/only/a/path")).is_err());
    }

    #[test]
    fn a_peer_learns_whether_another_attempt_may_succeed() {
        let long = OpenError::TargetTooLong { length: 2, limit: 1 };
        for (error, code) in [
            (OpenError::Closed, ResetCode::NO_SUCH_CLIENT),
            (OpenError::GoingAway, ResetCode::NO_SUCH_CLIENT),
            (OpenError::NoAddress, ResetCode::DIAL_REFUSED),
            (long, ResetCode::DIAL_REFUSED),
            (OpenError::TooManyConnections(1), ResetCode::LIMIT),
            (OpenError::TooManyDials(1), ResetCode::LIMIT),
            (OpenError::Congested, ResetCode::LIMIT),
        ] {
            let refusal = refusal_of(DialError::NotSent(error.clone()), "edge");
            assert_eq!(refusal.code, code, "{error}");
        }
    }
}
