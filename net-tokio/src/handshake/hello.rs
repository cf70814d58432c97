//! The connector's hello: in the headers of an upgrade request, or in the preface of a byte stream.

use std::future::poll_fn;
use std::{fmt, io};

use bytes::BytesMut;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use watertight_core::wire::{Hello, HelloReply, InvalidPreface, PrefaceLimits};
use zeroize::Zeroizing;

use super::proof::{Exchange, Party};
use super::{ConnectError, upgrade};
use crate::io::Io;
use crate::transport::{ByteStream, poll_drain};

const AGENT: &str = concat!("watertight/", env!("CARGO_PKG_VERSION"));

/// The identity that an agent presents, or a server toward its peer.
#[derive(Clone)]
pub(crate) struct ClientHello {
    key: String,
    token: Zeroizing<String>,
    headers: HeaderMap,
    base_dialect: bool,
    extended_only: bool,
    /// The peer, if the key is a server's id.
    peer: Option<PeerRemote>,
}

/// The server that a server connects to as its peer.
#[derive(Clone)]
pub(crate) struct PeerRemote {
    pub(crate) id: String,
    /// The token with which it proves its id.
    pub(crate) token: Zeroizing<String>,
    /// Whether both ends prove their tokens instead of sending them.
    pub(crate) proves: bool,
}

impl ClientHello {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            key: key.to_string(),
            token: Zeroizing::default(),
            headers: HeaderMap::new(),
            base_dialect: false,
            extended_only: false,
            peer: None,
        }
    }

    /// The hello of a server toward its peer. Byte streams have no encoding for it.
    pub(crate) fn of_peer(id: &str, token: &str, remote: PeerRemote) -> Self {
        Self { token: token.to_string().into(), peer: Some(remote), ..Self::new(id) }
    }

    /// The same hello, sending its token.
    pub(crate) fn sending_token(mut self) -> Self {
        self.peer.iter_mut().for_each(|remote| remote.proves = false);
        self
    }

    pub(crate) fn set_token(&mut self, token: &str) {
        self.token = token.to_string().into();
    }

    pub(crate) fn add_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, value);
    }

    pub(crate) fn set_base_dialect(&mut self) {
        self.base_dialect = true;
    }

    pub(crate) fn demand_extension(&mut self) {
        self.extended_only = true;
    }

    pub(super) const fn demands_extension(&self) -> bool {
        self.extended_only
    }

    pub(crate) fn client_key(&self) -> &str {
        &self.key
    }

    /// The exchange of proofs with the peer, where there is one.
    pub(super) fn exchange<'a>(&'a self, nonce: &'a str, answer: &'a str) -> Option<Exchange<'a>> {
        debug_assert!(!nonce.is_empty() && !answer.is_empty(), "proofs follow both nonces");
        let remote = self.proving()?;
        Some(Exchange {
            connector: Party { id: &self.key, token: &self.token, nonce },
            acceptor: Party { id: &remote.id, token: &remote.token, nonce: answer },
        })
    }

    /// Whether the hello sends its token in clear text.
    pub(crate) fn sends_secret(&self) -> bool {
        self.proving().is_none()
    }

    /// The peer toward which the token is proved, and not sent.
    pub(super) fn proving(&self) -> Option<&PeerRemote> {
        self.peer.as_ref().filter(|remote| remote.proves)
    }

    pub(super) const fn offers_extension(&self) -> bool {
        !self.base_dialect
    }

    pub(super) fn preface(&self) -> Hello {
        Hello { version: VERSION, client_key: self.key.clone(), token: self.token.to_string() }
    }

    /// The upgrade request. The embedder's headers never replace those of the upgrade itself.
    /// `nonce` is for the proofs, if there are any.
    pub(super) fn request(
        &self,
        authority: &str,
        path: &str,
        web_socket_key: &str,
        nonce: &str,
    ) -> Result<Request<String>, ConnectError> {
        let mut request = Request::new(String::new());
        *request.uri_mut() = path.parse().map_err(|_| ConnectError::NotAHeader("the path"))?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(self.headers.clone());
        headers.insert(HOST, header(authority, "the host")?);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, header(web_socket_key, "the WebSocket's key")?);
        self.identify(headers, nonce)?;
        if self.offers_extension() {
            headers.insert(upgrade::PROTOCOL, upgrade::VERSION);
        }
        Ok(request)
    }

    fn identify(&self, headers: &mut HeaderMap, nonce: &str) -> Result<(), ConnectError> {
        if let Some(remote) = &self.peer {
            headers.insert(upgrade::PEER_ID, header(&self.key, "the peer id")?);
            match remote.proves {
                true => headers.insert(upgrade::PEER_NONCE, header(nonce, "the nonce")?),
                false => headers.insert(upgrade::PEER_TOKEN, secret(&self.token)?),
            };
            return Ok(());
        }
        headers.insert(upgrade::CLIENT_KEY, header(&self.key, "the client key")?);
        if !self.token.is_empty() {
            headers.insert(AUTHORIZATION, secret(&format!("Bearer {}", *self.token))?);
        }
        Ok(())
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

fn secret(token: &str) -> Result<HeaderValue, ConnectError> {
    let mut token = header(token, "the token")?;
    token.set_sensitive(true);
    Ok(token)
}

/// The version of the protocol that this end speaks on byte streams.
pub(super) const VERSION: u64 = 1;

/// The capacity for a preface of a usual size, so that it takes one read.
pub(super) const USUAL_PREFACE: usize = 1024;

/// The HTTP status of a hello that breaks the protocol.
const BAD_REQUEST: u16 = StatusCode::BAD_REQUEST.as_u16();

/// Why there is no hello.
#[derive(Debug, Error)]
pub(crate) enum PrefaceError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("invalid preface: {0}")]
    Invalid(#[from] InvalidPreface),
    #[error("the remote speaks version {0}, which does not exist")]
    Version(u64),
}

/// A connector whose hello has arrived, and which waits for an answer.
pub(crate) struct Pending<I> {
    io: I,
    leftover: BytesMut,
    max_message: usize,
}

/// Waits for a connector's hello. A connector that speaks the preface receives the error. Not
/// cancel safe: the stream is lost. The caller sets the deadline.
pub(crate) async fn receive_hello<I: Io>(
    mut io: I,
    max_message: usize,
) -> Result<(Hello, Pending<I>), PrefaceError> {
    let mut buffer = BytesMut::with_capacity(USUAL_PREFACE);
    match read_hello(&mut io, &mut buffer).await {
        Ok(hello) => Ok((hello, Pending { io, leftover: buffer, max_message })),
        Err(error) => {
            if error.speaks_preface() {
                // The connector may be disconnected; the first error matters.
                refuse(&mut io, BAD_REQUEST, &error.to_string()).await.ok();
            }
            Err(error)
        }
    }
}

async fn read_hello<I: Io>(io: &mut I, buffer: &mut BytesMut) -> Result<Hello, PrefaceError> {
    loop {
        if let Some(hello) = Hello::decode(buffer, &PrefaceLimits::default())? {
            let version = hello.version;
            return if version < VERSION { Err(PrefaceError::Version(version)) } else { Ok(hello) };
        }
        if io.read_buf(buffer).await? == 0 {
            let text = "the remote ended the connection before its hello";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
    }
}

impl PrefaceError {
    /// Whether the remote understands an answer.
    const fn speaks_preface(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Invalid(InvalidPreface::Magic { .. }))
    }
}

impl<I: Io> Pending<I> {
    /// Accepts the connector. A connector with a newer version falls back to this one.
    pub(crate) async fn accept(mut self) -> io::Result<ByteStream<I>> {
        answer(&mut self.io, HelloReply::ACCEPTED, "").await?;
        Ok(ByteStream::new(self.io, self.leftover, self.max_message))
    }

    /// Refuses the connector, with an HTTP status and a reason.
    pub(crate) async fn refuse(mut self, status: u16, text: &str) -> io::Result<()> {
        refuse(&mut self.io, status, text).await
    }
}

/// Reads until the remote has closed: a connector may still be sending its hello, and closing with
/// unread input would reset the connection and lose the answer.
async fn refuse<I: Io>(io: &mut I, status: u16, text: &str) -> io::Result<()> {
    let (mut input, mut output) = split(io);
    let answering = async {
        answer(&mut output, status, text).await?;
        output.shutdown().await
    };
    tokio::join!(answering, poll_fn(|cx| poll_drain(&mut input, cx))).0
}

async fn answer(io: &mut (impl AsyncWrite + Unpin), status: u16, text: &str) -> io::Result<()> {
    let reply = HelloReply { version: VERSION, status, text: text.to_string() };
    io.write_all(&reply.encode()).await?;
    io.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_sends_its_token_only_where_it_proves_nothing() {
        let remote =
            PeerRemote { id: "b".into(), token: "theirs".to_string().into(), proves: true };
        let hello = ClientHello::of_peer("10.0.0.7", "secret", remote);
        let request = |hello: &ClientHello| {
            hello.request("host:1", "/connect", "dGhlIHNhbXBsZSBub25jZQ==", "nonce").unwrap()
        };
        let proving = request(&hello);
        let headers = proving.headers();
        assert_eq!(headers[upgrade::PEER_ID], "10.0.0.7");
        assert_eq!(headers[upgrade::PEER_NONCE], "nonce");
        assert!(!headers.contains_key(upgrade::PEER_TOKEN));
        assert!(!headers.contains_key(upgrade::CLIENT_KEY) && !headers.contains_key(AUTHORIZATION));
        let all: Vec<_> = headers.values().map(|value| value.to_str().unwrap()).collect();
        assert!(!all.iter().any(|value| value.contains("secret") || value.contains("theirs")));
        let hello = hello.sending_token();
        let sending = request(&hello);
        assert_eq!(sending.headers()[upgrade::PEER_TOKEN], "secret");
        assert!(!sending.headers().contains_key(upgrade::PEER_NONCE));
        let shown = format!("{:?}", (&hello, sending.headers()));
        assert!(!shown.contains("secret") && !shown.contains("theirs"), "{shown}");
    }

    #[test]
    fn the_request_is_an_upgrade_with_key_and_token() {
        let mut hello = ClientHello::new("Küche");
        hello.set_token("secret");
        hello.add_header(CONNECTION, HeaderValue::from_static("close"));
        hello.add_header(USER_AGENT, HeaderValue::from_static("mine"));
        let request =
            hello.request("host:1", "/connect?a=b", "dGhlIHNhbXBsZSBub25jZQ==", "").unwrap();
        assert_eq!(request.uri(), "/connect?a=b");
        let (parts, _) = request.into_parts();
        assert!(upgrade::accept(&parts).is_ok());
        assert_eq!(upgrade::client_key(&parts.headers).unwrap(), "Küche");
        assert_eq!(upgrade::bearer_token(&parts.headers).unwrap(), "secret");
        assert_eq!(parts.headers[USER_AGENT], "mine");
        assert_eq!(parts.headers.get_all(CONNECTION).iter().count(), 1);
        let shown = format!("{:?}", (&hello, &parts.headers));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn an_invalid_header_value_is_named() {
        let error = ClientHello::new("a\nb").request("host", "/", "key", "").unwrap_err();
        assert!(error.to_string().starts_with("the client key"), "{error}");
        let mut hello = ClientHello::new("a");
        hello.set_token("a\0");
        let error = hello.request("host", "/", "key", "").unwrap_err();
        assert!(error.to_string().starts_with("the token"), "{error}");
    }
}
