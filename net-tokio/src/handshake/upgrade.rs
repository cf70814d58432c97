//! The acceptor's side of the WebSocket upgrade (RFC 6455 section 4.2).

use http::header::{
    AUTHORIZATION, CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use watertight_core::wire::Dialect;

use super::Refusal;

/// The connector's client key.
pub(crate) const CLIENT_KEY: HeaderName = HeaderName::from_static("x-tunnel-id");

/// The id of a peer server.
pub(crate) const PEER_ID: HeaderName = HeaderName::from_static("x-api-tunnel-id");

/// The token of a peer server.
pub(crate) const PEER_TOKEN: HeaderName = HeaderName::from_static("x-api-tunnel-token");

/// The nonce of a peer server, or of the server that it connects to, for the mutual proofs. A
/// refusal has the header, too, so that it is not mistaken for one of a server that does not know
/// proofs.
pub(crate) const PEER_NONCE: HeaderName = HeaderName::from_static("watertight-peer");

/// The value of the header in a refusal, instead of a nonce.
pub(crate) const PEER_REFUSED: HeaderValue = HeaderValue::from_static("refused");

/// The extension that the connector offers and the acceptor confirms, with its version.
pub(crate) const PROTOCOL: HeaderName = HeaderName::from_static("watertight-protocol");

/// The version of the extension that this end speaks.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("1");

/// A valid upgrade, before authentication.
pub(crate) struct ValidUpgrade {
    pub(crate) response: Response<String>,
    pub(crate) dialect: Dialect,
}

/// Validates an upgrade request and makes the answer to it.
///
/// # Errors
///
/// The request is no WebSocket upgrade; the refusal states what is missing.
pub(crate) fn accept(parts: &Parts) -> Result<ValidUpgrade, Refusal> {
    let bad = |reason: &str| refusal(StatusCode::BAD_REQUEST, reason);
    if parts.method != Method::GET {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "an upgrade to a WebSocket is a GET"));
    }
    let headers = &parts.headers;
    if !has_token(headers, CONNECTION, "upgrade") || !has_token(headers, UPGRADE, "websocket") {
        let reason = "agents connect here by upgrading to a WebSocket";
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, reason));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refusal(
            StatusCode::UPGRADE_REQUIRED,
            "only WebSocket version 13 is spoken here",
        ));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| bad("no Sec-WebSocket-Key"))?;
    if !is_key(key.as_bytes()) {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base 64"));
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| bad("bad Sec-WebSocket-Key"))?);
    let dialect = if headers.get(PROTOCOL) == Some(&VERSION) {
        answer.insert(PROTOCOL, VERSION);
        Dialect::Extended
    } else {
        Dialect::Base
    };
    Ok(ValidUpgrade { response, dialect })
}

/// 16 bytes in base 64 are 22 digits and padding.
pub(super) fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.strip_suffix(b"==").is_some_and(|digits| digits.len() == 22 && digits.iter().all(digit))
}

/// Adds the headers that describe the expected upgrade to the answer of another request.
pub(crate) fn expect_in(headers: &mut HeaderMap) {
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.append(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
}

/// Whether a browser sent the request. For a WebSocket it always sends the page's origin.
pub(crate) fn is_of_browser(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name == ORIGIN || name.as_str().starts_with("sec-fetch-"))
}

/// The client key in the headers, if it is text.
pub(crate) fn client_key(headers: &HeaderMap) -> Option<String> {
    text(headers.get(CLIENT_KEY)?)
}

/// The id and the token of a possible peer server.
pub(crate) fn peer_headers(headers: &HeaderMap) -> (Option<&str>, Option<&str>) {
    let text = |name| std::str::from_utf8(headers.get(name)?.as_bytes()).ok();
    (text(PEER_ID), text(PEER_TOKEN))
}

/// The id and the nonce of a connector that offers to prove that it is a peer server.
///
/// # Errors
///
/// The nonce is invalid, or has no id.
pub(crate) fn peer_nonce(headers: &HeaderMap) -> Result<Option<(&str, &str)>, Refusal> {
    let Some(nonce) = headers.get(PEER_NONCE) else { return Ok(None) };
    let bad = |reason: &str| refusal(StatusCode::BAD_REQUEST, reason);
    if !is_key(nonce.as_bytes()) {
        return Err(bad("Watertight-Peer is not 16 bytes in base 64"));
    }
    let nonce = nonce.to_str().map_err(|_| bad("Watertight-Peer is no text"))?;
    let id = peer_headers(headers).0.filter(|id| !id.is_empty());
    Ok(Some((id.ok_or_else(|| bad("Watertight-Peer without X-API-Tunnel-ID"))?, nonce)))
}

/// The token in `Authorization: Bearer …`.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<String> {
    let value = text(headers.get(AUTHORIZATION)?)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_string())
}

/// A header's value as text; keys may be UTF-8.
fn text(value: &HeaderValue) -> Option<String> {
    std::str::from_utf8(value.as_bytes()).ok().map(str::to_string)
}

/// Whether a header that lists tokens has this one.
pub(super) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let tokens = values.iter().filter_map(|value| value.to_str().ok());
    tokens.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

fn refusal(status: StatusCode, reason: &str) -> Refusal {
    Refusal { status, reason: reason.to_string(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(change: impl FnOnce(&mut HeaderMap)) -> Parts {
        let mut request = Request::get("/connect").body(()).unwrap();
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        headers.insert(SEC_WEBSOCKET_KEY, key);
        change(headers);
        request.into_parts().0
    }

    fn status(change: impl FnOnce(&mut HeaderMap)) -> u16 {
        accept(&parts(change)).err().unwrap().status.as_u16()
    }

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let accepted = accept(&parts(|_| {})).ok().unwrap();
        assert_eq!(accepted.response.status(), 101);
        let answer = &accepted.response.headers()[SEC_WEBSOCKET_ACCEPT];
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.dialect, Dialect::Base);
        assert!(!accepted.response.headers().contains_key(PROTOCOL));
    }

    #[test]
    fn the_extension_is_confirmed_where_it_is_offered() {
        let accepted = accept(&parts(|headers| {
            headers.insert(PROTOCOL, VERSION);
        }))
        .ok()
        .unwrap();
        assert_eq!(accepted.dialect, Dialect::Extended);
        assert_eq!(accepted.response.headers()[PROTOCOL], VERSION);
        let other = accept(&parts(|headers| {
            headers.insert(PROTOCOL, HeaderValue::from_static("7"));
        }));
        assert_eq!(other.ok().unwrap().dialect, Dialect::Base);
    }

    #[test]
    fn an_incomplete_upgrade_is_refused_with_the_missing_part() {
        assert_eq!(status(|headers| drop(headers.remove(UPGRADE))), 426);
        assert_eq!(status(|headers| drop(headers.remove(CONNECTION))), 426);
        assert_eq!(status(|headers| drop(headers.remove(SEC_WEBSOCKET_VERSION))), 426);
        assert_eq!(status(|headers| drop(headers.remove(SEC_WEBSOCKET_KEY))), 400);
        assert_eq!(status(|headers| drop(headers.insert(SEC_WEBSOCKET_KEY, VERSION))), 400);
        let mut post = parts(|_| {});
        post.method = Method::POST;
        assert_eq!(accept(&post).err().unwrap().status, 405);
    }

    #[test]
    fn key_and_token_come_from_the_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!((client_key(&headers), bearer_token(&headers)), (None, None));
        headers.insert(CLIENT_KEY, HeaderValue::from_bytes("Küche".as_bytes()).unwrap());
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer abc"));
        assert_eq!(client_key(&headers).unwrap(), "Küche");
        assert_eq!(bearer_token(&headers).unwrap(), "abc");
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(bearer_token(&headers), None);
    }
}
