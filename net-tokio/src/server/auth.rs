//! Authentication of remotes, and the identity that results.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use rustls_pki_types::CertificateDer;
use subtle::ConstantTimeEq;
use watertight_core::wire::Hello;

use super::handshakes::Handshake;
use crate::handshake::{Refusal, upgrade};

/// Properties of a socket's remote, before authentication.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) remote: Option<SocketAddr>,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// Whether this server terminates TLS on the socket, so that secrets on it are encrypted.
    pub(super) tls: bool,
    /// Its slot among the handshakes, if the server accepted the socket itself.
    pub(super) slot: Option<Arc<Handshake>>,
}

impl Origin {
    /// The socket waits for the authentication hook from now on.
    pub(super) fn authenticates(&self) {
        self.slot.iter().for_each(|slot| slot.authenticates());
    }

    /// The server delayed it: its time starts again.
    pub(super) fn restarts(&self) {
        self.slot.iter().for_each(|slot| slot.restarts());
    }

    /// The hook has refused it.
    pub(super) fn refused(&self) {
        self.slot.iter().for_each(|slot| slot.refused());
    }
}

/// The input of the authentication hook: a remote that requests a session.
///
/// Its `Debug` contains no secret: neither the token nor the values of headers.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct AuthRequest {
    /// The client key of the remote: the header `X-Tunnel-ID`, or the preface's.
    pub client_key: Option<String>,
    /// The token of the remote: the header `Authorization: Bearer …`, or the preface's.
    pub token: Option<String>,
    /// The headers of the upgrade request; empty on a byte stream.
    pub headers: HeaderMap,
    /// The path of the upgrade request; empty on a byte stream.
    pub path: String,
    /// The remote address of the socket, if it has one.
    pub remote: Option<SocketAddr>,
    /// The remote's verified certificate chain, its own first; empty without mutual TLS.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl AuthRequest {
    /// The request of a remote with this key and token on a byte stream, for tests of hooks. A test
    /// can set the other fields.
    #[must_use]
    pub fn new(client_key: &str, token: &str) -> Self {
        Self {
            client_key: Some(client_key.to_string()),
            token: Some(token.to_string()),
            ..Self::default()
        }
    }

    /// Whether the remote sent this token; `false` if it sent none. The comparison takes constant
    /// time for tokens of the same length, unlike `==`.
    #[must_use]
    pub fn token_is(&self, expected: &str) -> bool {
        let given = self.token.as_deref();
        given.is_some_and(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
    }

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

impl fmt::Debug for AuthRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().collect();
        f.debug_struct("AuthRequest")
            .field("client_key", &self.client_key)
            .field("has_token", &self.token.is_some())
            .field("headers", &names)
            .field("path", &self.path)
            .field("remote", &self.remote)
            .field("certificates", &self.certificates.len())
            .finish()
    }
}

/// The identity of an authenticated remote, and its credential. A client key converts into one.
#[derive(Clone)]
pub struct Grant {
    pub(super) key: String,
    pub(super) identity: Option<String>,
    pub(super) credential: Option<Credential>,
}

impl Grant {
    /// The remote gets a session as the client with this key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), identity: None, credential: None }
    }

    /// The verified identity of the remote, such as the subject of its certificate. It appears in
    /// the log and in [`ClientInfo::identity`](crate::ClientInfo::identity).
    #[must_use]
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// The credential of the remote. It is never displayed, and kept for the check of
    /// [`Server::recheck`](crate::Server::recheck).
    #[must_use]
    pub fn credential<T: Any + Send + Sync>(mut self, credential: T) -> Self {
        self.credential = Some(Credential(Arc::new(credential)));
        self
    }
}

impl From<String> for Grant {
    fn from(key: String) -> Self {
        Self::new(key)
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, identity, .. } = self;
        f.debug_struct("Grant")
            .field("key", key)
            .field("identity", identity)
            .finish_non_exhaustive()
    }
}

/// A credential, with its type erased.
#[derive(Clone)]
pub(crate) struct Credential(Arc<dyn Any + Send + Sync>);

impl Credential {
    pub(crate) fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Grant, Refusal>> + Send>>;

/// The authentication hook, with its type erased.
#[derive(Clone)]
pub(crate) struct Authenticator(Arc<dyn Fn(AuthRequest) -> Answer + Send + Sync>);

impl Authenticator {
    pub(crate) fn new<F, A, G>(hook: F) -> Self
    where
        F: Fn(AuthRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<G, Refusal>> + Send + 'static,
        G: Into<Grant>,
    {
        Self(Arc::new(move |request| {
            let answer = hook(request);
            Box::pin(async move { answer.await.map(Into::into) })
        }))
    }

    /// Calls the hook.
    pub(crate) async fn authenticate(&self, request: AuthRequest) -> Result<Grant, Refusal> {
        (self.0)(request).await
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn only_the_same_token_is_the_token() {
        let mut request = AuthRequest::new("edge-7", "secret");
        assert!(request.token_is("secret"));
        for other in ["", "Secret", "secre", "secret "] {
            assert!(!request.token_is(other), "{other}");
        }
        request.token = None;
        assert!(!request.token_is("secret") && !request.token_is(""));
    }

    #[test]
    fn debug_output_has_no_secret() {
        let request = Request::get("/connect?token=hidden")
            .header("authorization", "Bearer hidden")
            .header("x-api-key", "hidden")
            .header("x-tunnel-id", "edge-7");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = AuthRequest::of_upgrade(parts, &Origin::default());
        assert!(request.token_is("hidden"));
        let shown = format!("{request:?}");
        assert!(shown.contains("edge-7") && shown.contains("x-api-key"), "{shown}");
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
