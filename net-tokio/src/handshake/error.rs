//! Handshakes that fail: the connector's error, and the acceptor's refusal.

use std::time::Duration;
use std::{fmt, io};

use http::StatusCode;
use thiserror::Error;

use super::exchange::HttpError;

/// Why a handshake failed, at the connector.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's host has no address, or none that could be reached.
    #[error("cannot reach {to}: {error}")]
    Unreachable {
        /// The server.
        to: String,
        /// The cause.
        error: io::Error,
    },
    /// TLS could not be agreed on, or the server's certificate is not trusted.
    #[error("TLS with {to}: {error}")]
    Tls {
        /// The server.
        to: String,
        /// The cause.
        error: io::Error,
    },
    /// The proxy refused the connection, or failed.
    #[error("proxy {proxy}: {reason}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// The cause.
        reason: String,
    },
    /// The server refused the session.
    #[error("refused by the server: {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's reason.
        reason: String,
        /// The pause that the server asks for before the next attempt.
        retry_after: Option<Duration>,
    },
    /// The remote speaks neither WebSocket nor the preface.
    #[error("not a tunnel server: {0}")]
    NotATunnel(String),
    /// The remote offers no proof that it is the peer, as a watertight server does, and is sent no
    /// token in clear text.
    #[error(
        "the server does not prove that it is the peer, as watertight does ({0}): if it is a \
         remotedialer server, name it as one, or reach it by wss://; then it is sent the token"
    )]
    NoProof(String),
    /// The remote is not the peer server with this id, or its token is another one than the
    /// configured one.
    #[error("the server does not prove that it is the peer {0:?}: its token is another one")]
    Impostor(String),
    /// The server speaks the base dialect, and the agent requires the extended one.
    #[error(
        "the server speaks only the base dialect, as remotedialer does, and this agent insists on more"
    )]
    BaseDialect,
    /// The connection broke.
    #[error("connection broken: {0}")]
    Io(#[from] io::Error),
    /// A client key or token that no header can carry.
    #[error("{0} has characters that an HTTP header cannot carry")]
    NotAHeader(&'static str),
    /// The embedder's code for the connection or the token panicked.
    #[error("what makes the connection, or its token, panicked")]
    Panicked,
}

impl ConnectError {
    /// The pause that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<HttpError> for ConnectError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Io(error) => Self::Io(error),
            HttpError::Ended => {
                Self::Io(io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()))
            }
            HttpError::NotHttp(_) => Self::NotATunnel(error.to_string()),
        }
    }
}

/// Why the acceptor refuses a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The text of the answer. An unauthenticated remote reads it: it must not contain a secret.
    pub reason: String,
    /// The pause before the remote's next attempt. Byte streams do not carry it.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with this status.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None }
    }

    /// The request is invalid: status 400.
    #[must_use]
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// Authentication failed: status 401.
    #[must_use]
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, reason)
    }

    /// Authentication succeeded, but the session is not allowed: status 403.
    #[must_use]
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason)
    }

    /// This path has no tunnel: status 404.
    #[must_use]
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// The server has no capacity for the session now: status 503.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// The same refusal, with a pause before the remote's next attempt.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}
