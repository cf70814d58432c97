use std::io;

use http::StatusCode;
use thiserror::Error;
use watertight::DialError;
use watertight::core::session::OpenError;
use watertight::core::wire::ResetCode;

/// Why a request has no answer of the target.
#[derive(Debug, Error)]
pub(super) enum Problem {
    #[error(
        "{0}; expected /client/{{key}}/{{scheme}}/{{host}}/{{path}}, such as \
         /client/edge-7/http/localhost:3000/status"
    )]
    Malformed(String),
    #[error(
        "client {key:?} is not connected; /clients lists those that are, /peers the servers through \
         which others are reached"
    )]
    UnknownClient { key: String },
    #[error("client {key:?} cannot reach {target}: {error}")]
    Dial { key: String, target: String, error: DialError },
    #[error("https is not possible from this server: {error}")]
    NoTrust { error: String },
    #[error("TLS with {name}: {error}")]
    Tls { name: String, error: io::Error },
    #[error("TLS with {name}: no answer in time")]
    TlsTimeout { name: String },
    #[error("the request's body was cut, or is malformed: {error}")]
    Body { error: hyper::Error },
    #[error("only the transfer coding chunked is passed on")]
    Coding,
    #[error("{target} answers in a transfer coding other than chunked, which is not passed on")]
    AnswerCoding { target: String },
    #[error("{target} sends interim answers (1xx) without end")]
    Interim { target: String },
    #[error("{target} broke the connection or does not speak HTTP: {error}")]
    Http { target: String, error: hyper::Error },
    #[error("{target} switched to a protocol that was not asked for")]
    Upgrade { target: String },
}

impl Problem {
    pub(super) fn malformed(what: &str) -> Self {
        Self::Malformed(what.to_string())
    }

    pub(super) fn of_dial(error: DialError, key: &str, target: &str) -> Self {
        match error {
            DialError::NotConnected(key) => Self::UnknownClient { key },
            error => Self::Dial { key: key.to_string(), target: target.to_string(), error },
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::Body { .. } => StatusCode::BAD_REQUEST,
            Self::UnknownClient { .. } => StatusCode::NOT_FOUND,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Dial { error, .. } => dial_status(error),
            Self::TlsTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::NoTrust { .. }
            | Self::Tls { .. }
            | Self::AnswerCoding { .. }
            | Self::Interim { .. }
            | Self::Http { .. }
            | Self::Upgrade { .. } => StatusCode::BAD_GATEWAY,
        }
    }
}

fn dial_status(error: &DialError) -> StatusCode {
    match error {
        DialError::Timeout | DialError::Refused { code: Some(ResetCode::DIAL_TIMEOUT), .. } => {
            StatusCode::GATEWAY_TIMEOUT
        }
        DialError::NotSent(OpenError::TargetTooLong { .. } | OpenError::NoAddress) => {
            StatusCode::BAD_REQUEST
        }
        // The tunnel is full or going away; the same request may go through later.
        DialError::NotSent(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}
