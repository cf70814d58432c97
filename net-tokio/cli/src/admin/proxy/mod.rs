//! `/client/{key}/{scheme}/{host}/{path}`: HTTP to what an agent can reach.
//!
//! Each request has a connection of its own through the tunnel. A pool of connections would save a dial,
//! and would hold sockets at the agents, entries in the ledger and every drain for as long as they idle; a
//! dial through a session that is up is cheap.

use std::io;
use std::sync::Arc;

use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use thiserror::Error;
use tracing::debug;
use watertight::DialError;
use watertight::proto::session::OpenError;
use watertight::proto::wire::ResetCode;

use super::State;
use super::answer::{Answer, body, text};
use super::client::Client;

use headers::Origin;
pub(super) use page::Page;
use route::Route;

mod headers;
mod page;
mod route;
mod target;
mod upstream;

/// What paths of the proxy begin with.
pub(super) const PREFIX: &str = "/client/";

/// Where a request is to go.
pub(super) enum To<'a> {
    /// To the target in its path.
    Path,
    /// To the target in the host name of the page.
    Page(&'a str),
}

/// The address of the page that shows what a path leads to. `admin` is the host that was asked for.
pub(super) fn page_of(uri: &Uri, admin: &str) -> Option<String> {
    let route = Route::of(uri).ok()?;
    let port = admin.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let port = port.map(|(_, port)| format!(":{port}")).unwrap_or_default();
    Some(format!("http://{}{port}{}", route.page_name()?, route.uri))
}

/// Passes a request on and its answer back. Bodies are streamed in both directions. Dropping the future, or
/// the answer's body, ends the connection through the tunnel.
pub(super) async fn answer(
    state: &Arc<State>,
    to: To<'_>,
    request: Request<Incoming>,
    client: Client,
) -> Answer {
    match pass_on(state, to, request, &client).await {
        Ok(answer) => answer,
        Err(problem) => {
            debug!(%problem, "request not passed on");
            text(problem.status(), &problem.to_string())
        }
    }
}

async fn pass_on(
    state: &Arc<State>,
    to: To<'_>,
    mut request: Request<Incoming>,
    client: &Client,
) -> Result<Answer, Problem> {
    let route = match to {
        To::Path => Route::of(request.uri())?,
        To::Page(host) => Route::of_page(host, request.uri())?,
    };
    if headers::is_coded(request.headers()) {
        return Err(Problem::Coding);
    }
    let wanted = headers::upgrade(request.headers());
    let downstream = hyper::upgrade::on(&mut request);
    let io = upstream::connect(state, &route).await?;
    let origin = Origin::of(client.address(), request.headers(), &route.prefix);
    let mut request = outgoing(request, &route, wanted.as_ref());
    origin.set(state.forwarded, request.headers_mut());
    let (mut answer, target) = upstream::send(state, io, request, &route, client).await?;
    if route.is_page {
        headers::for_page(answer.headers_mut(), &route.host, route.https);
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upstream::switch(state, answer, downstream, wanted, client, target);
    }
    if headers::is_coded(answer.headers()) {
        return Err(Problem::AnswerCoding { target: route.target });
    }
    let (mut parts, incoming) = answer.into_parts();
    headers::strip(&mut parts.headers);
    parts.version = Version::HTTP_11;
    let incoming = upstream::TiedBody::new(incoming, target, client.clone());
    Ok(Response::from_parts(parts, incoming.boxed_unsync()))
}

/// The request as the target sees it. The extensions stay, in which the library keeps how the
/// client wrote the names of headers.
fn outgoing(
    request: Request<Incoming>,
    route: &Route,
    upgrade: Option<&http::HeaderValue>,
) -> Request<Incoming> {
    let (mut parts, incoming) = request.into_parts();
    headers::for_target(&mut parts.headers, &route.host, upgrade);
    parts.uri = route.uri.clone();
    parts.version = Version::HTTP_11;
    Request::from_parts(parts, incoming)
}

/// An answer without a body.
fn empty(parts: http::response::Parts) -> Answer {
    Response::from_parts(parts, body(""))
}

/// Why a request has no answer of the target.
#[derive(Debug, Error)]
pub(super) enum Problem {
    #[error(
        "{0}; expected /client/{{key}}/{{scheme}}/{{host}}/{{path}}, such as \
         /client/edge-7/http/localhost:3000/status"
    )]
    Malformed(String),
    #[error(
        "client {key:?} is not connected; /clients lists the connected ones, /peers the servers through \
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
