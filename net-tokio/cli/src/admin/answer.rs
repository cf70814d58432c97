//! Bodies of answers, and the simple answers.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// The body of any answer.
pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

pub(super) type Answer = Response<Body>;

pub(super) fn body(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|error: Infallible| match error {}).boxed_unsync()
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

/// The answer to another method than those that `allowed` lists.
pub(super) fn only(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allowed} here"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
