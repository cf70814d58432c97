//! Who may connect, and as whom.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use rustls_pki_types::CertificateDer;
use watertight_core::wire::Hello;

use crate::handshake::{Refusal, upgrade};

/// Who is at the other end of a socket, as far as the socket tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) remote: Option<SocketAddr>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// What the authentication hook sees of an end that wants a session.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuthRequest {
    /// The client key that the end gave: the header `X-Tunnel-ID`, or the preface's.
    pub client_key: Option<String>,
    /// The token that it gave: the header `Authorization: Bearer …`, or the preface's.
    pub token: Option<String>,
    /// The headers of the upgrade request; empty on a byte stream.
    pub headers: HeaderMap,
    /// The path of the upgrade request; empty on a byte stream.
    pub path: String,
    /// The socket's other end, where it has an address.
    pub remote: Option<SocketAddr>,
    /// The certificates that the end proved to own, its own first; empty without mutual TLS.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl AuthRequest {
    pub(super) fn of_hello(hello: &Hello, origin: &Origin) -> Self {
        Self {
            client_key: Some(hello.client_key.clone()),
            token: (!hello.token.is_empty()).then(|| hello.token.clone()),
            headers: HeaderMap::new(),
            path: String::new(),
            remote: origin.remote,
            certificates: origin.certificates.clone(),
        }
    }

    pub(super) fn of_upgrade(parts: http::request::Parts, origin: &Origin) -> Self {
        Self {
            client_key: upgrade::client_key(&parts.headers),
            token: upgrade::bearer_token(&parts.headers),
            path: parts.uri.path().to_string(),
            headers: parts.headers,
            remote: origin.remote,
            certificates: origin.certificates.clone(),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>;

/// The authentication hook, whatever its type.
#[derive(Clone)]
pub(crate) struct Authenticator(Arc<dyn Fn(AuthRequest) -> Answer + Send + Sync>);

impl Authenticator {
    pub(crate) fn new<F, A>(hook: F) -> Self
    where
        F: Fn(AuthRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<String, Refusal>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(hook(request))))
    }

    /// The client key of the end that sent `request`.
    pub(crate) async fn authenticate(&self, request: AuthRequest) -> Result<String, Refusal> {
        (self.0)(request).await
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}
