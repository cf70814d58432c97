use std::fmt;

use http::StatusCode;

/// Why an end gets no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The answer's text. It goes to a stranger: it should not tell a secret.
    pub reason: String,
}

impl Refusal {
    /// The end asked for what cannot be: status 400.
    #[must_use]
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.into() }
    }

    /// The end did not prove who it is: status 401.
    #[must_use]
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, reason: reason.into() }
    }

    /// The end may not have what it wants: status 403.
    #[must_use]
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, reason: reason.into() }
    }

    /// There is nothing at this path: status 404.
    #[must_use]
    pub fn not_found(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, reason: reason.into() }
    }

    /// The server cannot take the session now: status 503.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}
