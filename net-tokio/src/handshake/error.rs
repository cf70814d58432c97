use std::io;
use std::time::Duration;

use thiserror::Error;

use super::exchange::HttpError;

/// Why there is no session.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server's host has no address, or none that could be reached.
    #[error("cannot reach {to}: {error}")]
    Unreachable {
        /// Whom.
        to: String,
        /// Why not.
        error: io::Error,
    },
    /// TLS could not be agreed on, or the server's certificate is not trusted.
    #[error("TLS with {to}: {error}")]
    Tls {
        /// With whom.
        to: String,
        /// Why not.
        error: io::Error,
    },
    /// The proxy does not let us through.
    #[error("proxy {proxy}: {reason}")]
    Proxy {
        /// Which.
        proxy: String,
        /// Why not.
        reason: String,
    },
    /// The server refused the session.
    #[error("refused by the server: {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        reason: String,
        /// How long it wants to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// The remote does not speak WebSocket, or the preface.
    #[error("not a tunnel server: {0}")]
    NotATunnel(String),
    /// The remote does not prove to a peer server who it is, as a watertight server does, and gets no
    /// token in clear text.
    #[error(
        "the server does not prove that it is the peer, as watertight does ({0}): if it is a \
         remotedialer server, name it as one, or reach it by wss://; then it is sent the token"
    )]
    NoProof(String),
    /// The remote is not the peer server with this id, or has another token than the one it is known by.
    #[error("the server does not prove that it is the peer {0:?}: its token is another one")]
    Impostor(String),
    /// The server speaks the base dialect, and the agent insists on the extended one.
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
    /// What the embedder connects with, or takes the token from, panicked.
    #[error("what makes the connection, or its token, panicked")]
    Panicked,
}

impl ConnectError {
    /// How long the server wants to be left alone, if it says so.
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
