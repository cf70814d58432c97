use std::fmt;

use http::header::{
    AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use watertight_core::wire::Hello;
use zeroize::Zeroizing;

use super::preface::VERSION;
use super::proof::{Exchange, Party};
use super::{ConnectError, upgrade};

const AGENT: &str = concat!("watertight/", env!("CARGO_PKG_VERSION"));

/// What an agent, or a server toward its peer, says about itself.
#[derive(Clone)]
pub(crate) struct ClientHello {
    key: String,
    token: Zeroizing<String>,
    headers: HeaderMap,
    base_dialect: bool,
    extended_only: bool,
    /// To whom, where the key is a server's id.
    peer: Option<PeerRemote>,
}

/// The server that a server connects to as its peer.
#[derive(Clone)]
pub(crate) struct PeerRemote {
    pub(crate) id: String,
    /// With which it proves its id.
    pub(crate) token: Zeroizing<String>,
    /// Whether tokens are proved, and not sent.
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

    /// That of a server toward its peer. Byte streams have no words for it.
    pub(crate) fn of_peer(id: &str, token: &str, remote: PeerRemote) -> Self {
        Self { token: token.to_string().into(), peer: Some(remote), ..Self::new(id) }
    }

    /// The same, which sends its token.
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
        let remote = self.proving()?;
        Some(Exchange {
            connector: Party { id: &self.key, token: &self.token, nonce },
            acceptor: Party { id: &remote.id, token: &remote.token, nonce: answer },
        })
    }

    /// Whether a token is sent, or may be.
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

    /// The upgrade request. Headers of the embedder's never replace those of the upgrade itself. `nonce`
    /// is for the proofs, where there are some.
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
    fn what_no_header_can_carry_is_named() {
        let error = ClientHello::new("a\nb").request("host", "/", "key", "").unwrap_err();
        assert!(error.to_string().starts_with("the client key"), "{error}");
        let mut hello = ClientHello::new("a");
        hello.set_token("a\0");
        let error = hello.request("host", "/", "key", "").unwrap_err();
        assert!(error.to_string().starts_with("the token"), "{error}");
    }
}
