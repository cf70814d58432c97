//! The connector's side of a handshake: the upgrade request, or the preface.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http::header::{CONNECTION, LOCATION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use watertight_core::Role;
use watertight_core::wire::{Dialect, HelloReply, PrefaceLimits, printable};

use super::exchange::{Answer, exchange};
use super::hello::{USUAL_PREFACE, VERSION};
use super::proof::{self, Unproved};
use super::upgrade::{self, has_token};
use super::{ClientHello, ConnectError};
use crate::io::Io;
use crate::transport::{ByteStream, Masking, TransportError, WebSocket, WebSocketOptions};

/// The key of upgrades in simulations, whose bytes are the same in every run.
const FIXED_KEY: &str = "c2ltdWxhdGVkIHNvY2tldA==";

/// The status of a peer's refusal that comes too late for an HTTP response.
const UNAUTHORIZED: u16 = StatusCode::UNAUTHORIZED.as_u16();

/// A transport after its handshake.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for a moment, at the start of a session"
)]
pub(crate) enum Connected<I> {
    WebSocket(WebSocket<I>, Dialect),
    ByteStream(ByteStream<I>),
}

impl<I> Connected<I> {
    /// The dialect of the session on it.
    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::WebSocket(_, dialect) => *dialect,
            Self::ByteStream(_) => Dialect::Extended,
        }
    }
}

/// Upgrades to a WebSocket. Not cancel safe: the stream is lost. The caller sets the deadline.
pub(crate) async fn connect_web_socket<I: Io>(
    io: I,
    authority: &str,
    path: &str,
    hello: &ClientHello,
    options: WebSocketOptions,
) -> Result<Connected<I>, ConnectError> {
    let [key, ours] = [nonce(options.masking), nonce(options.masking)];
    let request = hello.request(authority, path, &key, &ours)?;
    match exchange(io, request).await? {
        Answer::Switched { head, io, leftover } => {
            let dialect = check_answer(&head.headers, &key, hello)?;
            let mut socket =
                WebSocket::new(io, leftover, Role::Connector, options.of(dialect)).await;
            if hello.proving().is_some() {
                prove_peer(&mut socket, &head.headers, &ours, hello).await?;
            }
            Ok(Connected::WebSocket(socket, dialect))
        }
        Answer::Refused { head, text } => {
            let refused = refusal(&head, text);
            match hello.proving() {
                Some(_) if wants_token(&head) => Err(ConnectError::NoProof(refused.to_string())),
                _ => Err(refused),
            }
        }
    }
}

/// 16 random bytes in base 64, which are the same in every run of a simulation.
pub(crate) fn nonce(masking: Masking) -> String {
    let nonce = match masking {
        Masking::ByRole => generate_key(),
        Masking::Off => FIXED_KEY.to_string(),
    };
    debug_assert!(upgrade::is_key(nonce.as_bytes()), "a nonce has the form that is accepted");
    nonce
}

/// Proves this server's identity to a peer, and verifies the peer's.
async fn prove_peer<I: Io>(
    socket: &mut WebSocket<I>,
    answer: &HeaderMap,
    ours: &str,
    hello: &ClientHello,
) -> Result<(), ConnectError> {
    let theirs = answer.get(upgrade::PEER_NONCE).filter(|nonce| upgrade::is_key(nonce.as_bytes()));
    let theirs = theirs.and_then(|nonce| nonce.to_str().ok());
    let Some(exchange) = theirs.and_then(|theirs| hello.exchange(ours, theirs)) else {
        return Err(ConnectError::NoProof("it asks for none".to_string()));
    };
    proof::prove(socket, &exchange).await.map_err(|error| match error {
        Unproved::Transport(TransportError::Io(error)) => error.into(),
        Unproved::Refused(reason) => {
            ConnectError::Refused { status: UNAUTHORIZED, reason, retry_after: None }
        }
        Unproved::Transport(_) | Unproved::Wrong => {
            ConnectError::Impostor(exchange.acceptor.id.to_string())
        }
    })
}

/// Whether a server refused the request because it has no peer token, and does not know proofs.
fn wants_token(head: &Parts) -> bool {
    let statuses = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    statuses.contains(&head.status) && !head.headers.contains_key(upgrade::PEER_NONCE)
}

/// Verifies that the response answers this request (RFC 6455 section 4.1). Returns the dialect.
fn check_answer(
    headers: &HeaderMap,
    key: &str,
    hello: &ClientHello,
) -> Result<Dialect, ConnectError> {
    let wrong = |what: &str| ConnectError::NotATunnel(format!("its upgrade {what}"));
    if !has_token(headers, UPGRADE, "websocket") || !has_token(headers, CONNECTION, "upgrade") {
        return Err(wrong("does not lead to a WebSocket"));
    }
    let accept = derive_accept_key(key.as_bytes());
    if headers.get(SEC_WEBSOCKET_ACCEPT).is_none_or(|answer| *answer != accept) {
        return Err(wrong("answers another request: Sec-WebSocket-Accept does not match"));
    }
    let chosen = ["sec-websocket-extensions", "sec-websocket-protocol"];
    if let Some(chosen) = chosen.iter().find(|name| headers.contains_key(**name)) {
        return Err(wrong(&format!("has {chosen}, which was not offered")));
    }
    match headers.get(upgrade::PROTOCOL) {
        None if hello.demands_extension() => Err(ConnectError::BaseDialect),
        None => Ok(Dialect::Base),
        Some(version) if *version == upgrade::VERSION && hello.offers_extension() => {
            Ok(Dialect::Extended)
        }
        Some(_) => Err(wrong("confirms another extension than the one that was offered")),
    }
}

fn refusal(head: &Parts, text: String) -> ConnectError {
    if head.status.is_success() {
        let text = format!("it answers {} instead of upgrading to a WebSocket", head.status);
        return ConnectError::NotATunnel(text);
    }
    let moved = head.headers.get(LOCATION).filter(|_| head.status.is_redirection());
    let reason = match moved.and_then(|to| to.to_str().ok()) {
        Some(to) => format!("moved to {to}"),
        None if text.is_empty() => {
            head.status.canonical_reason().unwrap_or("no reason given").to_string()
        }
        None => text,
    };
    let retry_after = retry_after(&head.headers, SystemTime::now());
    ConnectError::Refused { status: head.status.as_u16(), reason, retry_after }
}

/// The pause that the remote asks for, from `now` (RFC 9110, 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number out of range is a long time.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Exchanges prefaces on a byte stream. Not cancel safe: the stream is lost. The caller sets the
/// deadline.
pub(crate) async fn connect_byte_stream<I: Io>(
    mut io: I,
    hello: &ClientHello,
    max_message: usize,
) -> Result<Connected<I>, ConnectError> {
    io.write_all(&hello.preface().encode()).await?;
    io.flush().await?;
    let mut buffer = BytesMut::with_capacity(USUAL_PREFACE);
    let reply = read_reply(&mut io, &mut buffer).await?;
    match (reply.status, reply.version) {
        (HelloReply::ACCEPTED, VERSION) => {
            Ok(Connected::ByteStream(ByteStream::new(io, buffer, max_message)))
        }
        (HelloReply::ACCEPTED, version) => {
            let text = format!("it speaks version {version}, this end speaks {VERSION}");
            Err(ConnectError::NotATunnel(text))
        }
        (status, _) => {
            Err(ConnectError::Refused { status, reason: printable(&reply.text), retry_after: None })
        }
    }
}

async fn read_reply<I: Io>(io: &mut I, buffer: &mut BytesMut) -> Result<HelloReply, ConnectError> {
    loop {
        let reply = HelloReply::decode(buffer, &PrefaceLimits::default());
        if let Some(reply) = reply.map_err(|error| ConnectError::NotATunnel(error.to_string()))? {
            return Ok(reply);
        }
        if io.read_buf(buffer).await? == 0 {
            let text = "the remote ended the connection without an answer";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_wish_to_be_left_alone_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(value))].into_iter().collect();
            let found = retry_after(&headers, now).map(|after| after.as_secs());
            assert_eq!(found, seconds, "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
