use std::fmt;

use http::header::{
    AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use watertight_core::wire::Hello;

use super::preface::VERSION;
use super::{ConnectError, upgrade};

const AGENT: &str = concat!("watertight/", env!("CARGO_PKG_VERSION"));

/// What an agent, or a server toward its peer, says about itself.
#[derive(Clone)]
pub(crate) struct ClientHello {
    key: String,
    token: String,
    headers: HeaderMap,
    base_dialect: bool,
    /// Whether the key is a server's id.
    peer: bool,
}

impl ClientHello {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            key: key.to_string(),
            token: String::new(),
            headers: HeaderMap::new(),
            base_dialect: false,
            peer: false,
        }
    }

    /// That of a server toward its peer. Byte streams have no words for it.
    pub(crate) fn of_peer(id: &str, token: &str) -> Self {
        Self { token: token.to_string(), peer: true, ..Self::new(id) }
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

    pub(crate) fn client_key(&self) -> &str {
        &self.key
    }

    pub(super) const fn offers_extension(&self) -> bool {
        !self.base_dialect
    }

    pub(super) fn preface(&self) -> Hello {
        Hello { version: VERSION, client_key: self.key.clone(), token: self.token.clone() }
    }

    /// The upgrade request. Headers of the embedder's never replace those of the upgrade itself.
    pub(super) fn request(
        &self,
        authority: &str,
        path: &str,
        web_socket_key: &str,
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
        self.identify(headers)?;
        if self.offers_extension() {
            headers.insert(upgrade::PROTOCOL, upgrade::VERSION);
        }
        Ok(request)
    }

    fn identify(&self, headers: &mut HeaderMap) -> Result<(), ConnectError> {
        if self.peer {
            headers.insert(upgrade::PEER_ID, header(&self.key, "the peer id")?);
            headers.insert(upgrade::PEER_TOKEN, secret(&self.token)?);
            return Ok(());
        }
        headers.insert(upgrade::CLIENT_KEY, header(&self.key, "the client key")?);
        if !self.token.is_empty() {
            headers.insert(AUTHORIZATION, secret(&format!("Bearer {}", self.token))?);
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
    fn a_peer_gives_its_own_two_headers_and_no_others() {
        let hello = ClientHello::of_peer("10.0.0.7", "secret");
        let request = hello.request("host:1", "/connect", "dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        let headers = request.headers();
        assert_eq!(headers[upgrade::PEER_ID], "10.0.0.7");
        assert_eq!(headers[upgrade::PEER_TOKEN], "secret");
        assert!(!headers.contains_key(upgrade::CLIENT_KEY) && !headers.contains_key(AUTHORIZATION));
        let shown = format!("{:?}", (&hello, headers));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_request_is_an_upgrade_with_key_and_token() {
        let mut hello = ClientHello::new("Küche");
        hello.set_token("secret");
        hello.add_header(CONNECTION, HeaderValue::from_static("close"));
        hello.add_header(USER_AGENT, HeaderValue::from_static("mine"));
        let request = hello.request("host:1", "/connect?a=b", "dGhlIHNhbXBsZSBub25jZQ==").unwrap();
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
        let error = ClientHello::new("a\nb").request("host", "/", "key").unwrap_err();
        assert!(error.to_string().starts_with("the client key"), "{error}");
        let mut hello = ClientHello::new("a");
        hello.set_token("a\0");
        let error = hello.request("host", "/", "key").unwrap_err();
        assert!(error.to_string().starts_with("the token"), "{error}");
    }
}
