//! `/client/{key}/{scheme}/{host}/{path}`: HTTP to what an agent can reach.
//!
//! Each request has a connection of its own through the tunnel. Keeping connections for later
//! requests would save a dial, and would hold sockets at the agents, entries in the ledger and
//! every drain for as long as they idle; a dial through a session that is up is cheap.

mod forwarded;
mod headers;
mod page;
mod problem;
mod route;
mod splice;
mod target;
mod upgrade;
mod upstream;

use std::sync::Arc;

use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tracing::debug;

use super::State;
use super::answer::{Answer, body, text};
use super::client::Client;

use forwarded::Origin;
pub(super) use page::Page;
use problem::Problem;
use route::Route;

/// What paths of the proxy begin with.
pub(super) const PREFIX: &str = "/client/";

/// Where a request is to go.
pub(super) enum To<'a> {
    /// Where its path says.
    Path,
    /// Where the name of the page says.
    Page(&'a str),
}

/// The address of the page that shows what a path leads to. `admin` is the host that was asked for.
pub(super) fn page_of(uri: &Uri, admin: &str) -> Option<String> {
    let route = Route::of(uri).ok()?;
    let port = admin.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    let port = port.map(|(_, port)| format!(":{port}")).unwrap_or_default();
    Some(format!("http://{}{port}{}", route.page_name()?, route.uri))
}

/// Passes a request on and its answer back. Bodies are streamed both ways. Dropping the future, or
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
    origin.tell(state.forwarded, request.headers_mut());
    let (mut answer, target) = upstream::send(state, io, request, &route, client).await?;
    if route.is_page {
        headers::for_page(answer.headers_mut(), &route.host, route.https);
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::switch(state, answer, downstream, wanted, client, target);
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
