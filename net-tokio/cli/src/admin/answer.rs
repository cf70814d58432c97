//! Simple answers, and bodies with a guard.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, SizeHint};

/// The body of any answer.
pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

pub(super) type Answer = Response<Body>;

pub(super) fn body(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|error: Infallible| match error {}).boxed_unsync()
}

/// A body with a guard that the library drops together with it.
pub(super) struct Guarded<B, G> {
    body: B,
    _guard: G,
}

impl<B, G> Guarded<B, G> {
    pub(super) fn new(body: B, guard: G) -> Self {
        Self { body, _guard: guard }
    }
}

impl<B: hyper::body::Body + Unpin, G: Unpin> hyper::body::Body for Guarded<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer of one line or more for people.
pub(super) fn text(status: StatusCode, text: &str) -> Answer {
    typed(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

pub(super) fn typed(status: StatusCode, kind: &'static str, content: String) -> Answer {
    let mut answer = Response::new(body(content));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// The answer to a method that `allowed` does not list.
pub(super) fn only(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allowed} here"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
