//! The connector's side: the upgrade request, or the preface.

use std::fmt;
use std::io;

use bytes::BytesMut;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::{self, handshake::client::generate_key};
use watertight_core::wire::{Dialect, Hello, HelloReply, InvalidPreface, PrefaceLimits};

use super::preface::VERSION;
use super::upgrade;
use crate::transport::{ByteStream, Io, WebSocket, WebSocketOptions};

/// How much of a refusal's body is kept for the error's text.
const MAX_REASON: usize = 1024;

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
    },
    /// The other end does not speak WebSocket, or the preface.
    #[error("not a tunnel server: {0}")]
    NotATunnel(String),
    /// The connection broke.
    #[error("connection broken: {0}")]
    Io(#[from] io::Error),
    /// A client key or token that no header can carry.
    #[error("{0} has characters that an HTTP header cannot carry")]
    NotAHeader(&'static str),
}

/// What an agent says about itself.
#[derive(Clone)]
pub(crate) struct ClientHello {
    key: String,
    token: String,
    headers: HeaderMap,
    base_dialect: bool,
}

impl ClientHello {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            key: key.to_string(),
            token: String::new(),
            headers: HeaderMap::new(),
            base_dialect: false,
        }
    }

    pub(crate) fn set_token(&mut self, token: &str) {
        self.token = token.to_string();
    }

    pub(crate) fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, value);
    }

    pub(crate) fn set_base_dialect(&mut self) {
        self.base_dialect = true;
    }

    fn request(&self, authority: &str, path: &str) -> Result<Request<()>, ConnectError> {
        let key = header(&self.key, "the client key")?;
        let mut request = Request::get(format!("ws://{authority}{path}"))
            .header(HOST, authority)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key())
            .header(upgrade::CLIENT_KEY, key);
        if !self.token.is_empty() {
            let mut token = header(&format!("Bearer {}", self.token), "the token")?;
            token.set_sensitive(true);
            request = request.header(AUTHORIZATION, token);
        }
        if !self.base_dialect {
            request = request.header(upgrade::PROTOCOL, upgrade::VERSION);
        }
        let mut request = request
            .body(())
            .map_err(|error| ConnectError::NotATunnel(format!("invalid URL: {error}")))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

impl fmt::Debug for ClientHello {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHello").field("key", &self.key).finish_non_exhaustive()
    }
}

fn header(text: &str, what: &'static str) -> Result<HeaderValue, ConnectError> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| ConnectError::NotAHeader(what))
}

/// What a connection became.
pub(crate) enum Connected<I> {
    WebSocket(WebSocket<I>, Dialect),
    ByteStream(ByteStream<I>),
}

/// Upgrades to a WebSocket. Not cancel safe: the stream is lost. The caller sets the deadline.
pub(crate) async fn connect_web_socket<I: Io>(
    io: I,
    authority: &str,
    path: &str,
    hello: &ClientHello,
    options: WebSocketOptions,
) -> Result<Connected<I>, ConnectError> {
    let request = hello.request(authority, path)?;
    let upgraded = client_async_with_config(request, io, Some(options.config())).await;
    let (stream, response) = upgraded.map_err(upgrade_error)?;
    let dialect = match response.headers().get(upgrade::PROTOCOL) {
        Some(version) if *version == upgrade::VERSION && !hello.base_dialect => Dialect::Extended,
        _ => Dialect::Base,
    };
    Ok(Connected::WebSocket(WebSocket::from_stream(stream), dialect))
}

fn upgrade_error(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Http(response) => refusal(&response),
        tungstenite::Error::Io(error) => ConnectError::Io(error),
        error => ConnectError::NotATunnel(error.to_string()),
    }
}

fn refusal(response: &Response<Option<Vec<u8>>>) -> ConnectError {
    let body = response.body().as_deref().unwrap_or_default();
    let body = body.get(..MAX_REASON).unwrap_or(body);
    let mut reason = String::from_utf8_lossy(body).trim().to_string();
    if reason.is_empty() {
        reason = response.status().canonical_reason().unwrap_or("no reason given").to_string();
    }
    ConnectError::Refused { status: response.status().as_u16(), reason }
}

/// Says hello on a byte stream. Not cancel safe: the stream is lost. The caller sets the deadline.
pub(crate) async fn connect_byte_stream<I: Io>(
    mut io: I,
    hello: &ClientHello,
    max_message: usize,
) -> Result<Connected<I>, ConnectError> {
    let said =
        Hello { version: VERSION, client_key: hello.key.clone(), token: hello.token.clone() };
    io.write_all(&said.encode()).await?;
    io.flush().await?;
    let mut buffer = BytesMut::new();
    loop {
        let reply = HelloReply::decode(&mut buffer, &PrefaceLimits::default());
        match reply.map_err(|error: InvalidPreface| ConnectError::NotATunnel(error.to_string()))? {
            Some(HelloReply { status: HelloReply::ACCEPTED, .. }) => {
                return Ok(Connected::ByteStream(ByteStream::new(io, buffer, max_message)));
            }
            Some(HelloReply { status, text, .. }) => {
                return Err(ConnectError::Refused { status, reason: text });
            }
            None => {}
        }
        if io.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
